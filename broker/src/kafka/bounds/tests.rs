use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::RequestKind;
use kafka_protocol::protocol::{Encodable, Message};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

use super::*;
use crate::kafka::codec::WireError;

/// Writes values of a description, so that the decoder can be asked whether it reads the same fields.
struct Generator<'a> {
    rng: &'a mut TestRng,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl Generator<'_> {
    fn below(&mut self, limit: u32) -> usize {
        (self.rng.next_u32() % limit) as usize
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn length(&mut self, length: usize, fixed_bytes: usize) {
        if self.flexible {
            self.varint(length + 1);
        } else {
            self.out
                .extend_from_slice(&(length as u32).to_be_bytes()[4 - fixed_bytes..]);
        }
    }

    fn layout(&mut self, layout: &Layout) {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            self.shape(&field.shape);
        }
        if self.flexible {
            self.tags(layout);
        }
    }

    /// Every tag that is known, then one that is not.
    fn tags(&mut self, layout: &Layout) {
        let version = self.version;
        let known: Vec<_> = layout
            .tagged
            .iter()
            .filter(|tag| tag.field.is_in(version))
            .collect();
        self.varint(known.len() + 1);
        for tag in known {
            let outer = std::mem::take(&mut self.out);
            self.shape(&tag.field.shape);
            let value = std::mem::replace(&mut self.out, outer);
            self.varint(tag.tag as usize);
            self.varint(value.len());
            self.out.extend_from_slice(&value);
        }
        self.varint(1000);
        self.varint(3);
        self.out.extend_from_slice(b"tag");
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            // Booleans survive a round trip as 0 or 1 only, and a tagged id of zeros is its default, not written.
            Shape::Fixed(bytes) => {
                let value = if *bytes == 16 { 1 } else { self.below(2) as u8 };
                self.out.extend(std::iter::repeat_n(0, bytes - 1));
                self.out.push(value);
            }
            Shape::Text => {
                let length = self.below(9);
                self.length(length, 2);
                self.out.extend(std::iter::repeat_n(b'w', length));
            }
            Shape::Blob => {
                let length = self.below(200);
                self.length(length, 4);
                self.out.extend(std::iter::repeat_n(0xfe, length));
            }
            Shape::Array(element) => {
                let count = self.below(4);
                self.length(count, 4);
                (0..count).for_each(|_| self.shape(element));
            }
            Shape::Structs(layout) => {
                let count = self.below(4);
                self.length(count, 4);
                (0..count).for_each(|_| self.layout(layout));
            }
            Shape::Struct(layout) => self.layout(layout),
            Shape::NullableStruct(layout) => match self.below(2) {
                0 => self.out.push(0xff),
                _ => {
                    self.out.push(1);
                    self.layout(layout);
                }
            },
        }
    }
}

fn every_version() -> impl Iterator<Item = (&'static Request, i16)> {
    REQUESTS
        .iter()
        .flat_map(|request| (request.first..=request.last).map(move |version| (request, version)))
}

fn generate(rng: &mut TestRng, request: &Request, version: i16) -> Vec<u8> {
    let flexible = request.is_flexible(version);
    let mut generator = Generator {
        rng,
        version,
        flexible,
        out: Vec::new(),
    };
    generator.layout(&request.body);
    generator.out
}

fn rng() -> TestRng {
    TestRunner::deterministic().new_rng()
}

#[test]
fn requests_are_sorted_and_flexible_where_their_headers_are() {
    assert!(REQUESTS.is_sorted_by(|a, b| (a.key as i16) < (b.key as i16)));
    for (request, version) in every_version() {
        let expected = if request.is_flexible(version) { 2 } else { 1 };
        assert_eq!(
            request.key.request_header_version(version),
            expected,
            "{} v{version}",
            request.name
        );
        assert_eq!(request.name, format!("{:?}", request.key));
    }
}

#[test]
fn no_element_is_free() {
    fn visit(shape: &Shape, version: i16, flexible: bool) {
        match shape {
            Shape::Array(element) => assert!(element.min_wire_bytes(version, flexible) > 0),
            Shape::Structs(layout) => {
                assert!(layout.min_wire_bytes(version, flexible) > 0);
                fields(layout, version, flexible);
            }
            Shape::Struct(layout) | Shape::NullableStruct(layout) => {
                fields(layout, version, flexible)
            }
            Shape::Fixed(_) | Shape::Text | Shape::Blob => {}
        }
    }
    fn fields(layout: &Layout, version: i16, flexible: bool) {
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            visit(&field.shape, version, flexible);
        }
    }
    for (request, version) in every_version() {
        fields(&request.body, version, request.is_flexible(version));
    }
}

#[test]
fn the_decoder_reads_the_described_fields_to_the_last_byte() {
    let mut rng = rng();
    for (request, version) in every_version() {
        for _ in 0..20 {
            let body = generate(&mut rng, request, version);
            let walked = check(request, version, &body).unwrap();
            assert_eq!(walked.body_bytes, body.len(), "{} v{version}", request.name);

            let mut bytes = Bytes::from(body.clone());
            let decoded = RequestKind::decode(request.key, &mut bytes, version)
                .unwrap_or_else(|error| panic!("{} v{version}: {error:#}", request.name));
            assert!(
                bytes.is_empty(),
                "{} v{version}: {} bytes left",
                request.name,
                bytes.len()
            );
            let mut again = BytesMut::new();
            decoded
                .encode(&mut again, version)
                .unwrap_or_else(|error| panic!("{} v{version}: {error:#}", request.name));
            assert_eq!(again.len(), body.len(), "{} v{version}", request.name);
        }
    }
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let mut rng = rng();
    for (request, version) in every_version() {
        let body = generate(&mut rng, request, version);
        for cut in 0..body.len() {
            assert!(
                check(request, version, &body[..cut]).is_err(),
                "{} v{version} cut at {cut}",
                request.name
            );
        }
    }
}

#[test]
fn bytes_after_the_last_field_are_ignored() {
    let request = super::request(ApiKey::Metadata);
    let walked = check(request, 0, &[0, 0, 0, 0, 9, 9]).unwrap();
    assert_eq!(walked.body_bytes, 4);
}

#[test]
fn an_array_bomb_is_refused() {
    let metadata = super::request(ApiKey::Metadata);
    let bomb = [0x7f, 0xff, 0xff, 0xff];
    assert_eq!(
        check(metadata, 0, &bomb),
        Err(BoundsError::Unbacked {
            field: "topics",
            count: 0x7fff_ffff,
            min_bytes: 2,
            left: 0
        })
    );
    let flexible_bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(
        check(metadata, 9, &flexible_bomb),
        Err(BoundsError::Unbacked { .. })
    ));
    // Every element is backed by a byte, and would take thirty-two in memory.
    let mut many = vec![0; 4 + 4 * 1024 * 1024];
    many[..4].copy_from_slice(&(2 * 1024 * 1024u32).to_be_bytes());
    assert_eq!(check(metadata, 0, &many), Err(BoundsError::TooManyElements));
}

#[test]
fn a_known_tag_whose_size_is_not_its_values_is_refused() {
    let fetch = super::request(ApiKey::Fetch);
    let body = |tag_size: u8| {
        let mut body = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
        body.extend_from_slice(&[1, 1, 1]); // no topics, none forgotten, no rack
        body.extend_from_slice(&[1, 0, tag_size, 3, b'i', b'd', 0]); // tag 0: cluster id "id"
        body
    };
    assert!(check(fetch, 12, &body(3)).is_ok());
    assert_eq!(
        check(fetch, 12, &body(4)),
        Err(BoundsError::TagSize {
            field: "cluster_id",
            declared: 4,
            found: 3
        })
    );
    assert!(matches!(
        check(fetch, 12, &body(2)),
        Err(BoundsError::Wire {
            field: "cluster_id",
            error: WireError::Short { .. }
        })
    ));
}

/// The decoder keeps unknown tags in a tree for each struct, whose first node has room for eleven.
#[test]
fn a_struct_with_an_unknown_tag_is_charged_the_node_of_a_tree() {
    const TOPICS: u8 = 100;
    let topic = [0; 16].iter().chain(&[2, b't', 1, 9, 0]);
    let mut body = vec![TOPICS + 1];
    for _ in 0..TOPICS {
        body.extend(topic.clone());
    }
    body.extend([0, 0, 0]);
    let walked = check(super::request(ApiKey::Metadata), 12, &body).unwrap();
    assert_eq!(walked.body_bytes, body.len());
    let node = 11 * (size_of::<i32>() + size_of::<Bytes>());
    assert!(walked.decoded_bytes >= usize::from(TOPICS) * node);
}

/// Default requests and responses of one API, at each version that bounds describes.
fn check_messages<Q, R>(key: ApiKey)
where
    Q: Message + Encodable + Default,
    R: Message,
{
    let request = super::request(key);
    assert!(
        Q::VERSIONS.min <= request.first && request.last <= Q::VERSIONS.max,
        "{}",
        request.name
    );
    assert!(
        R::VERSIONS.min <= request.first && request.last <= R::VERSIONS.max,
        "{}",
        request.name
    );
    for version in request.first..=request.last {
        let mut body = Vec::new();
        if Q::default().encode(&mut body, version).is_ok() {
            let walked = check(request, version, &body).unwrap();
            assert_eq!(walked.body_bytes, body.len(), "{} v{version}", request.name);
        }
    }
}

#[test]
fn the_codec_has_every_described_version_of_request_and_response() {
    use kafka_protocol::messages::*;
    let mut checked = 0;
    macro_rules! check_each {
        ($($key:ident: $request:ident, $response:ident;)*) => {
            $(check_messages::<$request, $response>(ApiKey::$key); checked += 1;)*
        };
    }
    check_each! {
        Produce: ProduceRequest, ProduceResponse;
        Fetch: FetchRequest, FetchResponse;
        ListOffsets: ListOffsetsRequest, ListOffsetsResponse;
        Metadata: MetadataRequest, MetadataResponse;
        OffsetCommit: OffsetCommitRequest, OffsetCommitResponse;
        OffsetFetch: OffsetFetchRequest, OffsetFetchResponse;
        FindCoordinator: FindCoordinatorRequest, FindCoordinatorResponse;
        JoinGroup: JoinGroupRequest, JoinGroupResponse;
        Heartbeat: HeartbeatRequest, HeartbeatResponse;
        LeaveGroup: LeaveGroupRequest, LeaveGroupResponse;
        SyncGroup: SyncGroupRequest, SyncGroupResponse;
        DescribeGroups: DescribeGroupsRequest, DescribeGroupsResponse;
        ListGroups: ListGroupsRequest, ListGroupsResponse;
        ApiVersions: ApiVersionsRequest, ApiVersionsResponse;
        CreateTopics: CreateTopicsRequest, CreateTopicsResponse;
        DeleteTopics: DeleteTopicsRequest, DeleteTopicsResponse;
        DeleteRecords: DeleteRecordsRequest, DeleteRecordsResponse;
        InitProducerId: InitProducerIdRequest, InitProducerIdResponse;
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
        DescribeConfigs: DescribeConfigsRequest, DescribeConfigsResponse;
        AlterConfigs: AlterConfigsRequest, AlterConfigsResponse;
        DescribeLogDirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
        CreatePartitions: CreatePartitionsRequest, CreatePartitionsResponse;
        DeleteGroups: DeleteGroupsRequest, DeleteGroupsResponse;
        ElectLeaders: ElectLeadersRequest, ElectLeadersResponse;
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
        AlterPartitionReassignments: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
        ListPartitionReassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
        OffsetDelete: OffsetDeleteRequest, OffsetDeleteResponse;
        DescribeQuorum: DescribeQuorumRequest, DescribeQuorumResponse;
        DescribeCluster: DescribeClusterRequest, DescribeClusterResponse;
        UnregisterBroker: UnregisterBrokerRequest, UnregisterBrokerResponse;
        DescribeTopicPartitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    }
    assert_eq!(checked, REQUESTS.len());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_passes_decodes_within_bounds(
        index in 0..REQUESTS.len(),
        version_seed in 0..16i16,
        body in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        check_and_decode(&REQUESTS[index], version_seed, &body)?;
    }

    #[test]
    fn mutated_requests_never_panic_and_what_passes_decodes_within_bounds(
        index in 0..REQUESTS.len(),
        version_seed in 0..16i16,
        mutations in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let request = &REQUESTS[index];
        let version = request.first + version_seed % (request.last - request.first + 1);
        let mut body = generate(&mut rng(), request, version);
        if !body.is_empty() {
            for (at, value) in mutations {
                let at = at.index(body.len());
                body[at] = value;
            }
        }
        check_and_decode(request, version_seed, &body)?;
    }
}

fn check_and_decode(
    request: &Request,
    version_seed: i16,
    body: &[u8],
) -> Result<(), TestCaseError> {
    let version = request.first + version_seed % (request.last - request.first + 1);
    if let Ok(walked) = check(request, version, body) {
        prop_assert!(walked.body_bytes <= body.len());
        prop_assert!(walked.decoded_bytes <= MAX_DECODED_BYTES);
        let mut bytes = Bytes::copy_from_slice(body);
        // It may still be refused, for a null or a string that is not UTF-8.
        if RequestKind::decode(request.key, &mut bytes, version).is_ok() {
            prop_assert_eq!(body.len() - bytes.len(), walked.body_bytes);
        }
    }
    Ok(())
}

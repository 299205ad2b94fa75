//! Partitions spread over the nodes: which ones move so that each node has its share of replicas.
//!
//! A node's load is the replicas that lie there, or will once what is on its way has arrived. They are counted and not
//! weighed: what a partition holds changes all the time, and a balance that follows it would never come to rest.
//!
//! A move takes from a node with more replicas and gives to one with fewer, so that the sum of the squares of the loads
//! falls and the greatest difference does not grow. So whatever the cluster is like, this comes to an end, and nothing goes
//! to and fro. Of such moves the one that does most is next; where several do as much, one that evens out who leads.
//!
//! Invariants
//! - A partition keeps the number of its replicas, and they share no more racks than before.
//! - What cannot move, as what lies with the metadata, stays, and counts. So does a table of several partitions: a step moves
//!   one partition, and a table of which half lies elsewhere has every read of all of it gathered from then on. To move such
//!   a table is left to whoever asks for it; one of a single partition moves as any topic does.
//! - Sets of replicas stay few: where there are twice as many as nodes, a new one is begun only if nothing else brings nodes
//!   closer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::command::MetaCommand;
use super::super::placement::{self, Place, shard_for, shares_rack};
use super::super::state::MetaState;
use super::super::topics::Topic;
use super::moves::{Underway, check_may_move};
use super::topics::Shards;

/// Sets of replicas of one factor, for each node: where there are so many, no other one is begun, if anything else is of
/// use.
const SETS_PER_NODE: usize = 2;

/// What may be begun.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Replicas by which two nodes may differ, at least 1.
    pub difference: usize,
    /// Moves that begin at most.
    pub most: usize,
    /// Nodes that get nothing, since their disks have no room.
    pub full: &'a BTreeSet<i32>,
}

/// Moves to begin, and the commands that begin them.
#[derive(Debug)]
pub struct Plan {
    /// Of the metadata on which it was decided.
    pub revision: u64,
    pub commands: Vec<MetaCommand>,
    pub moves: Vec<Underway>,
}

/// The load of every node that may get something, by broker id.
pub fn loads(state: &MetaState) -> BTreeMap<i32, usize> {
    let mut partitions: HashMap<u64, usize> = HashMap::new();
    for topic in state.topics().iter() {
        for index in 0..topic.partitions.len() {
            *partitions.entry(home(topic, index)).or_default() += 1;
        }
    }
    let places = placement::places(state);
    let mut loads: BTreeMap<i32, usize> = places.iter().map(|place| (place.broker_id, 0)).collect();
    for (id, info) in state.shards() {
        let count = partitions.get(id).copied().unwrap_or(0);
        for broker in &info.replicas {
            loads.entry(*broker).and_modify(|load| *load += count);
        }
    }
    loads
}

/// The load of the most loaded node beyond that of the least.
pub fn difference(loads: &BTreeMap<i32, usize>) -> usize {
    let most = loads.values().max().copied().unwrap_or(0);
    most - loads.values().min().copied().unwrap_or(0)
}

/// A difference up to which nothing begins: a fifth of a node's share.
pub fn far(loads: &BTreeMap<i32, usize>) -> usize {
    (share(loads) / 5).max(2)
}

/// A difference down to which nodes are brought once they are farther apart: a twentieth of a node's share.
pub fn close(loads: &BTreeMap<i32, usize>) -> usize {
    (share(loads) / 20).max(1)
}

fn share(loads: &BTreeMap<i32, usize>) -> usize {
    loads.values().sum::<usize>() / loads.len().max(1)
}

/// The moves to begin now; none while a node drains.
pub fn plan(state: &MetaState, wanted: &Wanted<'_>) -> Plan {
    assert!(
        wanted.difference > 0,
        "a difference of one cannot be evened out"
    );
    let mut plan = Plan {
        revision: state.revision(),
        commands: Vec::new(),
        moves: Vec::new(),
    };
    if !state.draining().is_empty() {
        return plan;
    }
    let mut spread = Spread::of(state);
    let mut starts = Vec::new();
    while plan.moves.len() < wanted.most
        && let Some(step) = spread.next(wanted)
    {
        let (start, going) = spread.take(step);
        starts.push(start);
        plan.moves.push(going);
    }
    // Shards are made for moves only, and before them.
    plan.commands = spread.shards.commands();
    plan.commands.extend(starts);
    plan
}

/// The shard where a partition lies, or will.
fn home(topic: &Topic, index: usize) -> u64 {
    let going = i32::try_from(index).ok();
    let going = going.and_then(|index| topic.moves.get(&index));
    going.map_or(topic.partitions[index].shard, |going| going.to)
}

/// A node, with what lies there.
struct Node {
    place: Place,
    replicas: usize,
    /// Partitions of which it is the first replica.
    first: usize,
}

/// Shards with the same replicas in the same order.
struct Site {
    replicas: Vec<i32>,
    /// The same, the least id first.
    set: Vec<i32>,
    /// Those that take more.
    shards: Vec<u64>,
    partitions: usize,
    /// How many of the partitions may move.
    movable: usize,
}

/// What a site has of a topic.
struct Part {
    site: usize,
    partitions: usize,
    movable: Vec<i32>,
}

/// How much better one move makes it; the less, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gain {
    /// What the sum of the squares of the loads grows by.
    replicas: i64,
    /// The same of the partitions that nodes are the first to lead.
    first: i64,
    needs_shard: bool,
}

/// A partition that lies on some replicas goes to others.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    gain: Gain,
    from: usize,
    to: Vec<i32>,
    /// The more and the less loaded node for which it is done.
    over: i32,
    under: i32,
}

/// Sets of replicas with partitions, and how many there may be of a factor.
struct Sets<'a> {
    used: &'a BTreeSet<&'a [i32]>,
    most: usize,
}

/// A cluster with what was decided so far.
struct Spread<'a> {
    shards: Shards<'a>,
    nodes: BTreeMap<i32, Node>,
    sites: Vec<Site>,
    /// The topics that lie in sites.
    topics: Vec<(&'a Topic, Vec<Part>)>,
}

impl<'a> Spread<'a> {
    fn of(state: &'a MetaState) -> Spread<'a> {
        let node = |place: Place| {
            let broker_id = place.broker_id;
            let (replicas, first) = (0, 0);
            let node = Node {
                place,
                replicas,
                first,
            };
            (broker_id, node)
        };
        let mut spread = Spread {
            shards: Shards::of(state),
            nodes: placement::places(state).into_iter().map(node).collect(),
            sites: Vec::new(),
            topics: Vec::new(),
        };
        let site_of: HashMap<u64, usize> = state
            .shards()
            .iter()
            .map(|(id, info)| (*id, spread.site(&info.replicas)))
            .collect();
        for shard in state.open_shards().into_keys() {
            spread.sites[site_of[&shard]].shards.push(shard);
        }
        for topic in state.topics().iter() {
            let parts = parts(state, topic, &site_of);
            for part in &parts {
                spread.sites[part.site].movable += part.movable.len();
                spread.count(part.site, part.partitions as i64);
            }
            spread.topics.push((topic, parts));
        }
        spread
    }

    /// The site on these replicas, in this order.
    fn site(&mut self, replicas: &[i32]) -> usize {
        let found = self.sites.iter().position(|site| site.replicas == replicas);
        found.unwrap_or_else(|| {
            self.sites.push(Site {
                replicas: replicas.to_vec(),
                set: in_order(replicas),
                shards: Vec::new(),
                partitions: 0,
                movable: 0,
            });
            self.sites.len() - 1
        })
    }

    /// A site has so many partitions more.
    fn count(&mut self, site: usize, more: i64) {
        let grow = |count: &mut usize| {
            let grown = count.checked_add_signed(more as isize);
            *count = grown.expect("what goes was there");
        };
        let site = &mut self.sites[site];
        grow(&mut site.partitions);
        for (at, broker) in site.replicas.iter().enumerate() {
            if let Some(node) = self.nodes.get_mut(broker) {
                grow(&mut node.replicas);
                if at == 0 {
                    grow(&mut node.first);
                }
            }
        }
    }

    /// What is best to be done next.
    fn next(&self, wanted: &Wanted<'_>) -> Option<Step> {
        let used = self.sites.iter().filter(|site| site.partitions > 0);
        let used: BTreeSet<&[i32]> = used.map(|site| &*site.set).collect();
        let pairs = self.pairs(wanted);
        let best = |most| {
            let sets = Sets { used: &used, most };
            let mut pairs = pairs.iter();
            pairs.find_map(|(over, under)| self.best(*over, *under, wanted, &sets))
        };
        best(SETS_PER_NODE * self.nodes.len()).or_else(|| best(usize::MAX))
    }

    /// Nodes that are too far apart, the more loaded one first; those that are farthest apart first.
    fn pairs(&self, wanted: &Wanted<'_>) -> Vec<(i32, i32)> {
        let mut pairs = Vec::new();
        for (over, more) in &self.nodes {
            for (under, less) in &self.nodes {
                let apart = more.replicas.saturating_sub(less.replicas);
                if apart > wanted.difference && !wanted.full.contains(under) {
                    pairs.push((Reverse(apart), *over, *under));
                }
            }
        }
        pairs.sort_unstable();
        pairs
            .into_iter()
            .map(|(_, over, under)| (over, under))
            .collect()
    }

    /// The best move that takes from one node and gives to the other.
    fn best(&self, over: i32, under: i32, wanted: &Wanted<'_>, sets: &Sets<'_>) -> Option<Step> {
        let has = |site: &Site, one: i32, not: i32| {
            site.replicas.contains(&one) && !site.replicas.contains(&not)
        };
        let there = self.sites.iter();
        let there = there.filter(|site| !site.shards.is_empty() && has(site, under, over));
        let there: Vec<&Vec<i32>> = there.map(|site| &site.replicas).collect();
        let mut best: Option<Step> = None;
        let sites = self.sites.iter().enumerate();
        for (from, site) in sites.filter(|(_, site)| site.movable > 0 && has(site, over, under)) {
            let there = there.iter().filter(|to| to.len() == site.replicas.len());
            let there = there.map(|to| to.to_vec());
            for to in there.chain(self.made_of(&site.replicas, over, under, sets)) {
                let is_full = to.iter().any(|broker| wanted.full.contains(broker));
                let Some(gain) = self.gain(&site.replicas, &to).filter(|_| !is_full) else {
                    continue;
                };
                let step = Step {
                    gain,
                    from,
                    to,
                    over,
                    under,
                };
                if best.as_ref().is_none_or(|best| step < *best) {
                    best = Some(step);
                }
            }
        }
        best
    }

    /// Replicas with one node in the place of the other, each node once the first, of shards that there are not yet.
    fn made_of(&self, from: &[i32], over: i32, under: i32, sets: &Sets<'_>) -> Vec<Vec<i32>> {
        let swap = |broker: &i32| if *broker == over { under } else { *broker };
        let made: Vec<i32> = from.iter().map(swap).collect();
        let set = in_order(&made);
        let of_factor = sets.used.iter().filter(|set| set.len() == made.len());
        if !sets.used.contains(&*set) && of_factor.count() >= sets.most {
            return Vec::new();
        }
        let there = self.sites.iter();
        let there = there.filter(|site| !site.shards.is_empty() && site.set == set);
        let first: Vec<i32> = there.map(|site| site.replicas[0]).collect();
        let rotated = |at: usize| {
            let mut made = made.clone();
            made.rotate_left(at);
            made
        };
        let all = (0..made.len()).map(rotated);
        all.filter(|to| !first.contains(&to[0])).collect()
    }

    /// `None` for a move that does no good.
    fn gain(&self, from: &[i32], to: &[i32]) -> Option<Gain> {
        let load = |broker: &i32| i64::try_from(self.nodes.get(broker)?.replicas).ok();
        let first = |broker: &i32| i64::try_from(self.nodes.get(broker)?.first).ok();
        let mut replicas = 0;
        for broker in to.iter().filter(|broker| !from.contains(broker)) {
            replicas += 2 * load(broker)? + 1;
        }
        for broker in from.iter().filter(|broker| !to.contains(broker)) {
            replicas -= 2 * load(broker)? - 1;
        }
        let does_good = replicas < 0
            && self.apart(from, to) <= self.apart(&[], &[])
            && self.shared(to) <= self.shared(from);
        let first = match (from[0], to[0]) {
            (from, to) if from == to => 0,
            (from, to) => 2 * (first(&to)? - first(&from)? + 1),
        };
        does_good.then_some(Gain {
            replicas,
            first,
            needs_shard: !self.sites.iter().any(|site| site.replicas == to),
        })
    }

    /// The greatest difference between two nodes once a partition has gone from these replicas to those.
    fn apart(&self, from: &[i32], to: &[i32]) -> usize {
        let load = |(broker, node): (&i32, &Node)| {
            node.replicas + usize::from(to.contains(broker)) - usize::from(from.contains(broker))
        };
        let loads = || self.nodes.iter().map(load);
        loads().max().unwrap_or(0) - loads().min().unwrap_or(0)
    }

    /// Pairs of replicas that share a rack.
    fn shared(&self, replicas: &[i32]) -> usize {
        let places = replicas.iter().filter_map(|broker| self.nodes.get(broker));
        let places: Vec<&Place> = places.map(|node| &node.place).collect();
        let pairs = places.iter().enumerate();
        pairs
            .map(|(at, one)| {
                let later = places[at + 1..].iter();
                later.filter(|other| shares_rack(one, other)).count()
            })
            .sum()
    }

    /// Decides a step, for a partition of the topic that is most unevenly spread over the two nodes.
    fn take(&mut self, step: Step) -> (MetaCommand, Underway) {
        let Step {
            from,
            to,
            over,
            under,
            ..
        } = step;
        let on = |parts: &[Part], broker: i32| {
            let lies = |part: &&Part| self.sites[part.site].replicas.contains(&broker);
            let parts = parts.iter().filter(lies);
            parts.map(|part| part.partitions as i64).sum::<i64>()
        };
        let may_move = |part: &Part| part.site == from && !part.movable.is_empty();
        let topics = self.topics.iter().enumerate();
        let topics = topics.filter(|(_, (_, parts))| parts.iter().any(may_move));
        let uneven = |(at, (_, parts)): &(usize, &(&Topic, Vec<Part>))| {
            (on(parts, over) - on(parts, under), Reverse(*at))
        };
        let (at, _) = topics.max_by_key(uneven).expect("the site has some");
        let site = self.site(&to);
        let (topic, parts) = &mut self.topics[at];
        let part = parts.iter_mut().find(|part| may_move(part));
        let part = part.expect("the topic has some");
        let partition = part.movable.pop().expect("the part has some");
        part.partitions -= 1;
        find_part(parts, site).partitions += 1;
        let (id, name) = (topic.id, topic.name.clone());
        self.sites[from].movable -= 1;
        self.count(from, -1);
        self.count(site, 1);
        if self.sites[site].shards.is_empty() {
            self.sites[site].shards = self.shards.on(&to);
        }
        let index = usize::try_from(partition).unwrap_or(0);
        let start = MetaCommand::StartMove {
            id,
            partition,
            to: shard_for(&name, index, &self.sites[site].shards),
        };
        let going = Underway {
            topic: name.to_string(),
            partition,
            from: self.sites[from].replicas.clone(),
            to,
        };
        (start, going)
    }
}

/// Where a topic's partitions lie, or will.
fn parts(state: &MetaState, topic: &Topic, site_of: &HashMap<u64, usize>) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, place) in topic.partitions.iter().enumerate() {
        let Some(site) = site_of.get(&home(topic, index)) else {
            // With the metadata, on every node.
            continue;
        };
        let part = find_part(&mut parts, *site);
        part.partitions += 1;
        let partition = i32::try_from(index).unwrap_or(i32::MAX);
        let keeps_together = topic.table.is_some() && topic.partitions.len() > 1;
        let stays = keeps_together || topic.moves.contains_key(&partition);
        if !stays && check_may_move(state, topic, *place).is_ok() {
            part.movable.push(partition);
        }
    }
    parts
}

fn find_part(parts: &mut Vec<Part>, site: usize) -> &mut Part {
    let found = parts.iter().position(|part| part.site == site);
    let at = found.unwrap_or_else(|| {
        parts.push(Part {
            site,
            partitions: 0,
            movable: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[at]
}

fn in_order(replicas: &[i32]) -> Vec<i32> {
    let mut set = replicas.to_vec();
    set.sort_unstable();
    set
}

#[cfg(test)]
mod tests;

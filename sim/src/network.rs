//! The network between nodes: one question, one answer, either of which may be late or never arrive.
//!
//! It does what connections do: a question whose connection breaks is an error at once, one into silence an
//! error after a while; what was asked may have arrived all the same, late and out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use weir_raft::inspect::{Answered, Asked, answered, asked};
use weir_raft::{
    Caller, Node, NodeId, Reply, Request, Seat, Service, ShardId, Transport, Unreachable,
};

use crate::cluster::seat_of;
use crate::judge::Judge;
use crate::life::Life;
use crate::random::Rng;
use crate::trace::Trace;
use links::Links;

mod links;

/// A connection on which nothing comes back is given up after so long.
const SILENCE: Duration = Duration::from_secs(5);

/// How messages fare on links that are not cut.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub delay_min: Duration,
    pub delay_max: Duration,
    /// Of a thousand questions or answers, so many are lost with their connection,
    pub loss: u64,
    /// so many arrive twice,
    pub duplicates: u64,
    /// and so many are overtaken by later ones.
    pub reordered: u64,
}

impl Weather {
    pub const FAIR: Weather = Weather {
        delay_min: Duration::from_micros(100),
        delay_max: Duration::from_micros(500),
        loss: 0,
        duplicates: 0,
        reordered: 0,
    };
}

/// The wires of a cluster. Clones share them.
#[derive(Clone)]
pub struct SimNetwork {
    state: Arc<Mutex<State>>,
    trace: Arc<Trace>,
    judge: Arc<Judge>,
}

struct State {
    ends: BTreeMap<NodeId, End>,
    /// From, to.
    cut: BTreeSet<(Seat, Seat)>,
    weather: Weather,
    /// When the last message on a link arrives.
    arrivals: BTreeMap<(Seat, Seat), Instant>,
    /// Between processes that answer the layer above.
    links: Links,
    rng: Rng,
}

#[derive(Clone)]
struct End {
    life: Life,
    node: Node,
    service: Option<Arc<dyn Service>>,
}

/// One life's way to the others.
#[derive(Clone)]
pub struct Port {
    network: SimNetwork,
    life: Life,
}

/// What becomes of a message.
enum Fate {
    Arrives(Duration),
    Breaks,
    Silence,
}

impl SimNetwork {
    pub fn new(trace: Arc<Trace>, judge: Arc<Judge>, rng: Rng) -> SimNetwork {
        SimNetwork {
            state: Arc::new(Mutex::new(State {
                ends: BTreeMap::new(),
                cut: BTreeSet::new(),
                weather: Weather::FAIR,
                arrivals: BTreeMap::new(),
                links: Links::default(),
                rng,
            })),
            trace,
            judge,
        }
    }

    pub fn port(&self, life: Life) -> Port {
        Port {
            network: self.clone(),
            life,
        }
    }

    /// Has a node answer, for its replicas and for the layer above.
    pub fn attach(&self, life: &Life, node: &Node, service: Option<Arc<dyn Service>>) {
        let answers = service.is_some();
        let end = End {
            life: life.clone(),
            node: node.clone(),
            service,
        };
        self.state.lock().ends.insert(life.node(), end);
        if answers {
            self.dial_all(life);
        }
    }

    pub fn detach(&self, node: NodeId) {
        self.state.lock().ends.remove(&node);
        self.hang_up(node);
    }

    pub fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// Drops whatever `from` sends to `to`, answers too.
    pub fn cut(&self, from: Seat, to: Seat) {
        self.state.lock().cut.insert((from, to));
    }

    pub fn join(&self, from: Seat, to: Seat) {
        self.state.lock().cut.remove(&(from, to));
    }

    /// Ends all cuts, and bad weather.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.cut.clear();
        state.weather = Weather::FAIR;
    }

    fn fate(&self, from: NodeId, to: NodeId) -> Fate {
        let mut state = self.state.lock();
        let link = (seat_of(from), seat_of(to));
        let State {
            cut,
            weather,
            arrivals,
            rng,
            ..
        } = &mut *state;
        if cut.contains(&link) {
            self.trace.fault("message into a cut", [from.0, to.0]);
            return match rng.chance(500) {
                true => Fate::Silence,
                false => Fate::Breaks,
            };
        }
        if weather.loss > 0 && rng.chance(weather.loss) {
            self.trace.fault("lost message", [from.0, to.0]);
            return match rng.chance(100) {
                true => Fate::Silence,
                false => Fate::Breaks,
            };
        }
        let now = Instant::now();
        let mut at = now + rng.time(weather.delay_min..weather.delay_max);
        let last = arrivals.entry(link).or_insert(now);
        if at < *last {
            match weather.reordered > 0 && rng.chance(weather.reordered) {
                true => self.trace.fault("overtaking message", [from.0, to.0]),
                false => at = *last,
            }
        }
        *last = at.max(*last);
        Fate::Arrives(at - now)
    }

    fn duplicates(&self) -> bool {
        let state = self.state.lock();
        let rate = state.weather.duplicates;
        rate > 0 && state.rng.chance(rate)
    }

    /// Who answers at a node now.
    fn end(&self, node: NodeId) -> Option<End> {
        let end = self.state.lock().ends.get(&node).cloned();
        end.filter(|end| !end.life.is_over())
    }

    /// Brings a question to its node; the answer is dropped if nobody waits for it.
    async fn deliver(
        self,
        from: Life,
        to: NodeId,
        shard: ShardId,
        request: Request,
        answer: Option<oneshot::Sender<Result<Reply, String>>>,
    ) {
        let refused = "nobody listens there".to_owned();
        let Some(end) = self.end(to) else {
            return tell(answer, Err(refused));
        };
        let question = asked(&request);
        self.trace_question(from.node(), to, shard, &question);
        let reply = end.node.serve(shard, request).await;
        if end.life.is_over() {
            return tell(answer, Err("the connection broke".to_owned()));
        }
        if let Ok(reply) = &reply {
            let reply = answered(reply);
            self.trace_answer(from.node(), to, shard, &reply);
            self.judge
                .answered(&end.life, from.node(), shard, &question, &reply);
        }
        let Some(answer) = answer else {
            return;
        };
        match self.fate(to, from.node()) {
            Fate::Arrives(delay) => {
                sleep(delay).await;
                tell(Some(answer), reply.map_err(|error| error.to_string()));
            }
            Fate::Breaks => {
                self.broke(to, from.node());
                tell(Some(answer), Err("the connection broke".to_owned()));
            }
            Fate::Silence => {
                sleep(SILENCE).await;
                self.broke(to, from.node());
                tell(Some(answer), Err(format!("no answer for {SILENCE:?}")));
            }
        }
    }

    fn trace_question(&self, from: NodeId, to: NodeId, shard: ShardId, asked: &Asked) {
        let (kind, term, index) = match asked {
            Asked::Append { term, last, .. } => {
                ("append", *term, last.map_or(0, |(_, index)| index + 1))
            }
            Asked::Vote {
                term, pre: true, ..
            } => ("pre-vote", *term, 0),
            Asked::Vote { term, .. } => ("vote", *term, 0),
            Asked::Snapshot { term, upto, .. } => {
                ("snapshot", *term, upto.map_or(0, |(_, index)| index + 1))
            }
            Asked::Transfer { term, to } => ("transfer", *term, to.0),
        };
        self.trace.event(kind, [from.0, to.0, shard.0, term, index]);
    }

    fn trace_answer(&self, to: NodeId, from: NodeId, shard: ShardId, answered: &Answered) {
        let (kind, value) = match answered {
            Answered::Appended => ("appended", 0),
            Answered::Partly(upto) => ("partly", upto.map_or(0, |(_, index)| index + 1)),
            Answered::Conflict => ("conflict", 0),
            Answered::HigherVote((term, ..)) => ("higher vote", *term),
            Answered::Vote { granted, .. } => ("voted", u64::from(*granted)),
            Answered::Snapshot(_) => ("installed", 0),
            Answered::Transfer(done) => ("transferred", u64::from(*done)),
        };
        self.trace.event(kind, [from.0, to.0, shard.0, value]);
    }
}

fn tell<T>(answer: Option<oneshot::Sender<T>>, value: T) {
    if let Some(answer) = answer {
        // Whoever asked may have gone this moment.
        let _ = answer.send(value);
    }
}

impl Port {
    /// The processes that this one is connected to, as they come and go.
    pub fn peers(&self) -> watch::Receiver<BTreeMap<NodeId, Seat>> {
        match self.life.is_over() {
            true => watch::Sender::default().subscribe(),
            false => self.network.state.lock().links.watch(self.life.node()),
        }
    }

    /// Asks the layer above on another node.
    pub async fn ask(&self, to: NodeId, question: Bytes) -> Result<Bytes, Unreachable> {
        let from = self.life.node();
        let unreachable = |reason: &str| Unreachable {
            node: to,
            reason: reason.to_owned(),
        };
        self.pass(from, to).await?;
        let end = self.network.end(to);
        let end = end.ok_or_else(|| unreachable("nobody listens there"))?;
        let service = end.service.clone();
        let service = service.ok_or_else(|| unreachable("it answers no such questions"))?;
        let caller = Caller {
            seat: seat_of(from),
            node: from,
        };
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let answer = service.answer(caller, question).await;
            tell(Some(sender).filter(|_| !end.life.is_over()), answer);
        });
        let answer = receiver.await;
        let answer = answer.map_err(|_| unreachable("the connection broke"))?;
        self.pass(to, from).await?;
        answer.map_err(|reason| unreachable(&reason))
    }

    /// Lets a message go from one node to another.
    async fn pass(&self, from: NodeId, to: NodeId) -> Result<(), Unreachable> {
        let unreachable = |reason: String| Unreachable { node: to, reason };
        if self.life.is_over() {
            return Err(unreachable("this process is over".to_owned()));
        }
        match self.network.fate(from, to) {
            Fate::Arrives(delay) => {
                sleep(delay).await;
                Ok(())
            }
            Fate::Breaks => {
                self.network.broke(from, to);
                Err(unreachable("the connection broke".to_owned()))
            }
            Fate::Silence => {
                sleep(SILENCE).await;
                self.network.broke(from, to);
                Err(unreachable(format!("no answer for {SILENCE:?}")))
            }
        }
    }
}

impl Transport for Port {
    fn call(
        &self,
        to: NodeId,
        shard: ShardId,
        request: Request,
    ) -> BoxFuture<'_, Result<Reply, Unreachable>> {
        Box::pin(async move {
            let unreachable = |reason: String| Unreachable { node: to, reason };
            if self.life.is_over() {
                return Err(unreachable("this process is over".to_owned()));
            }
            let network = &self.network;
            network.judge.asks(&self.life, shard, &asked(&request));
            let delay = match network.fate(self.life.node(), to) {
                Fate::Arrives(delay) => delay,
                Fate::Breaks => {
                    network.broke(self.life.node(), to);
                    return Err(unreachable("the connection broke".to_owned()));
                }
                Fate::Silence => {
                    sleep(SILENCE).await;
                    network.broke(self.life.node(), to);
                    return Err(unreachable(format!("no answer for {SILENCE:?}")));
                }
            };
            let at = Instant::now() + delay;
            let (sender, receiver) = oneshot::channel();
            if network.duplicates() {
                let (network, from, request) =
                    (network.clone(), self.life.clone(), request.clone());
                let trace = network.trace.clone();
                trace.fault("message that arrives twice", [from.node().0, to.0]);
                let later = network.state.lock().rng.time(delay..delay * 20);
                tokio::spawn(async move {
                    sleep_until(at + later).await;
                    network.deliver(from, to, shard, request, None).await;
                });
            }
            let (delivering, from) = (network.clone(), self.life.clone());
            tokio::spawn(async move {
                sleep_until(at).await;
                let answer = Some(sender);
                delivering.deliver(from, to, shard, request, answer).await;
            });
            let answer = receiver.await;
            let answer = answer.map_err(|_| unreachable("the connection broke".to_owned()))?;
            if self.life.is_over() {
                return Err(unreachable("this process is over".to_owned()));
            }
            answer.map_err(unreachable)
        })
    }
}

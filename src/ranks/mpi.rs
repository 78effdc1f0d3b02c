//! Ranks that are the processes of an MPI job.
//!
//! Sums are made here and not by `MPI_Allreduce`, for three reasons. They are added in the order of the
//! ranks, so that their bits depend neither on the MPI library nor on who was first. A rank that waits
//! knows for whom, and says so when it has waited too long. And a thread that sums gradients can sleep
//! between two looks at its messages, while the cores compute.
//!
//! A long sum goes in two rounds, as in Rabenseifner's algorithm: each rank adds up one part of the values
//! of all, and then gives all its sums. That moves `2 (K - 1) / K` times the values into and out of each
//! of `K` ranks, which is the least that is possible. A short one goes in one round: each gives all to all.
//!
//! Thakur, Rabenseifner and Gropp 2005, Optimization of Collective Communication Operations in MPICH.

use super::{Ranks, Summing, Team};
use crate::error::{Error, Result};
use ::mpi::Threading;
use ::mpi::environment::Universe;
use ::mpi::request::{LocalScope, Request};
use ::mpi::topology::{Communicator, SimpleCommunicator};
use ::mpi::traits::{Destination, Equivalence, Source};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Variables that the launchers of MPI libraries set for each process: Open MPI and Slurm by PMIx, MPICH,
/// Intel MPI and Slurm by PMI, MVAPICH.
const LAUNCHED: [&str; 4] = ["PMIX_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"];

/// The most values that are summed in one round, those of all ranks together.
const ONE_ROUND: usize = 1 << 15;

/// The streams of messages between two ranks, each of which is in order.
#[derive(Clone, Copy)]
enum Stream {
    /// What all ranks wait for.
    Main = 1,
    /// Gradients, beside the arithmetic.
    Gradients = 2,
}

/// This process's part in a job, from [`begin`](Self::begin) to [`end`](Self::end).
pub struct Job {
    processes: Arc<Processes>,
    summing: JoinHandle<()>,
    universe: Universe,
}

/// Whether a launcher of MPI has started this process.
pub fn is_launched() -> bool {
    LAUNCHED.iter().any(|name| std::env::var_os(name).is_some())
}

impl Job {
    /// Joins the job that this process was launched for. A rank that has to wait for others longer than
    /// `patience` ends it. Where it `overlaps`, gradients are summed by a thread of their own, beside the
    /// arithmetic, else before the work goes on.
    ///
    /// # Errors
    /// [`Error::Usage`] where the MPI library does not allow two threads to call it;
    /// [`Error::Io`] where no thread can be started.
    /// # Panics
    /// If the process has joined a job before.
    pub fn begin(patience: Duration, overlaps: bool) -> Result<Self> {
        let joined = within(patience, "join the job", || ::mpi::initialize_with_threading(Threading::Multiple))?;
        let (universe, threading) = joined.expect("a process joins one job");
        if threading < Threading::Multiple {
            let what = format!("this MPI library lets one thread call it at a time ({threading:?})");
            return Err(Error::usage(what, "use one with MPI_THREAD_MULTIPLE, which Open MPI and MPICH have"));
        }
        let world = SimpleCommunicator::world();
        let (rank, count) = (world.rank() as usize, world.size() as usize);
        let (to_sum, orders) = channel();
        let host = ::mpi::environment::processor_name().unwrap_or_default();
        let mut processes = Processes { rank, count, hosts: vec![host], patience, overlaps, to_sum };
        let hosts = processes.gather(processes.hosts[0].as_bytes());
        processes.hosts = hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
        let processes = Arc::new(processes);
        let for_thread = Arc::clone(&processes);
        let summing = thread::Builder::new().name("ranks".into()).spawn(move || for_thread.sum_as_asked(&orders));
        let summing = summing.map_err(Error::thread(Path::new("MPI")))?;
        let _ = RUNNING.set(());
        Ok(Self { processes, summing, universe })
    }

    /// The ranks of the job.
    pub fn team(&self) -> Team {
        Team(self.processes.clone())
    }

    /// Leaves the job, once all ranks do.
    pub fn end(self) {
        let Self { processes, summing, universe } = self;
        let patience = processes.patience;
        let _ = processes.to_sum.send(None);
        // A panic in it has ended the job.
        let _ = summing.join();
        // Where no thread can be started any more, it is left unwatched.
        let left = within(patience, "leave the job", || drop(universe));
        drop(left);
    }
}

/// Does work of the MPI library in which all ranks take part, and ends this process, and with it the job,
/// where that takes longer than `patience`.
fn within<T>(patience: Duration, what: &'static str, work: impl FnOnce() -> T) -> Result<T> {
    let (done, is_done) = channel::<()>();
    let watch = move || {
        if is_done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            eprintln!("error: a rank has waited {} s for others to {what}; the job ends here", patience.as_secs());
            std::process::exit(1);
        }
    };
    thread::Builder::new().spawn(watch).map_err(Error::thread(Path::new("MPI")))?;
    let result = work();
    drop(done);
    Ok(result)
}

/// Whether this process has joined a job.
static RUNNING: OnceLock<()> = OnceLock::new();

/// Ends the job, all its processes, if this one is in one: without that the others would wait for ever for
/// one that has gone.
pub fn abort(code: u8) {
    if RUNNING.get().is_some() && ::mpi::environment::is_initialized() && !::mpi::environment::is_finalized() {
        SimpleCommunicator::world().abort(code.into());
    }
}

/// Values to be summed, and where the sums are wanted; `None` ends the thread.
type Order = Option<(Vec<f32>, SyncSender<Vec<f32>>)>;

/// The processes of the job.
struct Processes {
    rank: usize,
    count: usize,
    /// Those of all ranks.
    hosts: Vec<String>,
    patience: Duration,
    overlaps: bool,
    to_sum: Sender<Order>,
}

impl Ranks for Processes {
    fn count(&self) -> usize {
        self.count
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn name(&self, rank: usize) -> String {
        match self.hosts.get(rank) {
            Some(host) => format!("rank {rank} on {host}"),
            None => format!("rank {rank}"),
        }
    }

    fn on_this_host(&self) -> usize {
        self.hosts.iter().filter(|host| **host == self.hosts[self.rank]).count()
    }

    fn sum(&self, values: &mut [f64]) {
        let len = values.len();
        if len * self.count <= ONE_ROUND {
            let mut all = vec![0.0; len * self.count];
            let place = |rank: usize| rank * len..(rank + 1) * len;
            all[place(self.rank)].copy_from_slice(values);
            let own = &*values;
            self.exchange(Stream::Main, |_| own, &mut all, place);
            add_up(&all, values);
        } else {
            self.sum_in_two_rounds(Stream::Main, values, &mut Vec::new());
        }
    }

    fn begin_sum(&self, mut values: Vec<f32>) -> Summing {
        if !self.overlaps {
            self.sum_in_two_rounds(Stream::Main, &mut values, &mut Vec::new());
            return Summing::Done(values);
        }
        let (to_caller, sums) = sync_channel(1);
        self.to_sum.send(Some((values, to_caller))).expect("the thread that sums goes on until the end");
        Summing::UnderWay(sums)
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lens = vec![0_u64; self.count];
        lens[self.rank] = bytes.len() as u64;
        let own = [bytes.len() as u64];
        self.exchange(Stream::Main, |_| &own, &mut lens, |rank| rank..rank + 1);
        let mut ends: Vec<usize> = vec![0];
        lens.iter().for_each(|&len| ends.push(ends[ends.len() - 1] + len as usize));
        let of = |rank: usize| ends[rank]..ends[rank + 1];
        let mut all = vec![0_u8; ends[self.count]];
        all[of(self.rank)].copy_from_slice(bytes);
        self.exchange(Stream::Main, |_| bytes, &mut all, of);
        (0..self.count).map(|rank| all[of(rank)].to_vec()).collect()
    }
}

/// A message that is under way, and the rank that it comes from or goes to.
type Pending<'a, 's, T> = (usize, Request<'a, [T], &'s LocalScope<'a>>);

/// A number that ranks can sum.
trait Number: Equivalence + Copy + Default + Into<f64> {
    fn of(sum: f64) -> Self;
}

impl Number for f64 {
    fn of(sum: f64) -> Self {
        sum
    }
}

impl Number for f32 {
    fn of(sum: f64) -> Self {
        sum as Self
    }
}

/// Overwrites `sums` with the sums of as many values of each rank, which lie one rank behind the other.
fn add_up<T: Number>(all: &[T], sums: &mut [T]) {
    const AT_ONCE: usize = 256;
    let len = sums.len();
    for (i, sums) in sums.chunks_mut(AT_ONCE).enumerate() {
        let mut added = [0.0_f64; AT_ONCE];
        for of_rank in all.chunks_exact(len) {
            let values = &of_rank[i * AT_ONCE..][..sums.len()];
            added.iter_mut().zip(values).for_each(|(sum, &value)| *sum += value.into());
        }
        sums.iter_mut().zip(added).for_each(|(sum, added)| *sum = T::of(added));
    }
}

impl Processes {
    /// The work of the thread that sums gradients.
    fn sum_as_asked(&self, orders: &Receiver<Order>) {
        let mut others = Vec::new();
        while let Ok(Some((mut values, to_caller))) = orders.recv() {
            self.sum_in_two_rounds(Stream::Gradients, &mut values, &mut others);
            // Nobody is there to take them where the caller has failed meanwhile.
            let _ = to_caller.send(values);
        }
    }

    /// Replaces values by their sums over all ranks; `others` is room for those of the others.
    fn sum_in_two_rounds<T: Number>(&self, stream: Stream, values: &mut [T], others: &mut Vec<T>) {
        let all = values.len();
        let part = |rank: usize| rank * all / self.count..(rank + 1) * all / self.count;
        let (own, len) = (part(self.rank), part(self.rank).len());
        others.resize(len * self.count, T::default());
        let place = |rank: usize| rank * len..(rank + 1) * len;
        others[place(self.rank)].copy_from_slice(&values[own.clone()]);
        {
            let values = &*values;
            self.exchange(stream, |rank| &values[part(rank)], others, place);
        }
        add_up(others, &mut values[own.clone()]);
        let sums = &mut others[..len];
        sums.copy_from_slice(&values[own]);
        self.exchange(stream, |_| sums, values, part);
    }

    /// Sends each other rank what `sent` says, and receives from each what fills its range of `received`;
    /// the ranges lie one behind the other. Returns when all has come and gone.
    fn exchange<'a, T: Equivalence + 'a>(
        &self,
        stream: Stream,
        sent: impl Fn(usize) -> &'a [T],
        received: &mut [T],
        range: impl Fn(usize) -> Range<usize>,
    ) {
        let world = SimpleCommunicator::world();
        let tag = stream as i32;
        ::mpi::request::scope(|scope| {
            let mut pending: Vec<Pending<T>> = Vec::with_capacity(2 * self.count);
            let mut rest = received;
            for rank in 0..self.count {
                let part = rest.split_off_mut(..range(rank).len()).expect("the ranges are those of the values");
                if rank != self.rank && !part.is_empty() {
                    let from = world.process_at_rank(rank as i32);
                    pending.push((rank, from.immediate_receive_into_with_tag(scope, part, tag)));
                }
            }
            // Each begins with another receiver, so that no link has to carry all at once.
            for i in 1..self.count {
                let rank = (self.rank + i) % self.count;
                if !sent(rank).is_empty() {
                    let to = world.process_at_rank(rank as i32);
                    pending.push((rank, to.immediate_send_with_tag(scope, sent(rank), tag)));
                }
            }
            self.wait(stream, pending);
        });
    }

    /// Waits until all messages have come and gone.
    fn wait<'a, T: Equivalence>(&self, stream: Stream, mut pending: Vec<Pending<'a, '_, T>>) {
        // Messages move while they are looked at. A thread that has nothing else to do looks often.
        let (eager, nap) = match stream {
            Stream::Main => (Duration::from_millis(2), Duration::from_micros(50)),
            Stream::Gradients => (Duration::from_micros(20), Duration::from_micros(50)),
        };
        let begin = Instant::now();
        let mut last = begin;
        loop {
            let before = pending.len();
            pending = pending.into_iter().filter_map(|(rank, request)| Some((rank, request.test().err()?))).collect();
            if pending.is_empty() {
                return;
            }
            let now = Instant::now();
            if pending.len() < before {
                last = now;
            } else if now - begin > self.patience && now - last > self.patience {
                let mut ranks: Vec<usize> = pending.iter().map(|(rank, _)| *rank).collect();
                ranks.sort_unstable();
                ranks.dedup();
                self.give_up(&ranks);
            } else if now - last > eager {
                thread::sleep(nap);
            } else {
                thread::yield_now();
            }
        }
    }

    /// Ends the job because some ranks have not answered.
    fn give_up(&self, missing: &[usize]) -> ! {
        const SHOWN: usize = 8;
        let mut names: Vec<String> = missing.iter().take(SHOWN).map(|&rank| self.name(rank)).collect();
        if missing.len() > SHOWN {
            names.push(format!("{} more", missing.len() - SHOWN));
        }
        let waited = self.patience.as_secs();
        let own = self.name(self.rank);
        eprintln!("error: {own} has waited {waited} s for {}; the job ends here", names.join(", "));
        SimpleCommunicator::world().abort(1)
    }
}

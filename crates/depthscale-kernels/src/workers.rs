//! Where a run computes: on the threads that its products are split among.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use rayon::prelude::*;

/// How long a thread looks for work before it sleeps. Waking it costs tens of microseconds, as much as a small product.
const PATIENCE: Duration = Duration::from_millis(1);

/// Does some work whose many small operations are split among threads.
///
/// On flex it runs on one of those threads itself, and the others stay awake for it: each operation is then begun within
/// a microsecond. Elsewhere nothing is done but the work.
pub fn on_workers<B: Backend, T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if !has_workers::<B>() {
        return work();
    }
    rayon::scope(|_| {
        let done = Done(Arc::default());
        let (own, watched) = (rayon::current_thread_index(), done.0.clone());
        rayon::spawn_broadcast(move |context| {
            if Some(context.index()) != own {
                help(&watched);
            }
        });
        work()
    })
}

/// What `each` makes of every item, in their order.
///
/// On flex items are spread over the threads of [`on_workers`], since small operations that come one after the other wait for
/// memory each time. Elsewhere they come one after the other.
pub fn each_on_workers<B: Backend, I: Send, T: Send>(items: Vec<I>, each: impl Fn(I) -> T + Sync + Send) -> Vec<T> {
    if items.len() <= 1 || !has_workers::<B>() {
        return items.into_iter().map(each).collect();
    }
    items.into_par_iter().with_max_len(1).map(each).collect()
}

/// Whether operations are split among threads.
fn has_workers<B: Backend>() -> bool {
    crate::keeps_packed::<B>() && rayon::current_num_threads() > 1
}

/// Set when the work is over, whether it returns or panics.
struct Done(Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes up what others split off until they are done, or nothing has come for a while.
fn help(done: &AtomicBool) {
    let mut idle = Instant::now();
    while !done.load(Ordering::Relaxed) && idle.elapsed() < PATIENCE {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => idle = Instant::now(),
            _ => std::hint::spin_loop(),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn_flex::Flex;

    #[test]
    fn work_is_done_wherever_it_is_asked_for() {
        let sum = || (0..1000u64).into_par_iter().sum::<u64>();
        assert_eq!(on_workers::<Flex, _>(sum), 499_500);
        assert_eq!(on_workers::<Flex, _>(|| on_workers::<Flex, _>(sum) + 1), 499_501);
        assert_eq!(on_workers::<burn_ndarray::NdArray, _>(sum), 499_500);
        let from_many: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| on_workers::<Flex, _>(sum))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(from_many, [499_500; 8]);
    }

    #[test]
    fn items_keep_their_order() {
        let squares: Vec<u64> = (0..100).map(|item| item * item).collect();
        assert_eq!(each_on_workers::<Flex, _, _>((0..100).collect(), |item| item * item), squares);
        assert_eq!(each_on_workers::<burn_ndarray::NdArray, _, _>((0..100).collect(), |item| item * item), squares);
        assert!(each_on_workers::<Flex, u64, _>(Vec::new(), |item| item).is_empty());
    }

    #[test]
    fn items_are_spread_over_threads_where_there_are_several() {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
        // Each waits for the other.
        let both = std::sync::Barrier::new(2);
        pool(2).install(|| each_on_workers::<Flex, _, _>(vec![0, 1], |_| both.wait()));
        let threads = pool(1).install(|| each_on_workers::<Flex, _, _>(vec![0, 1], |_| std::thread::current().id()));
        assert_eq!(threads[0], threads[1]);
        let panicked = std::panic::catch_unwind(|| {
            each_on_workers::<Flex, _, ()>(vec![0, 1], |item| assert_eq!(item, 0, "not the first"))
        });
        assert!(panicked.is_err());
    }

    #[test]
    fn a_panic_comes_back_and_the_threads_go_on() {
        let panicked = std::panic::catch_unwind(|| on_workers::<Flex, ()>(|| panic!("in between")));
        assert!(panicked.is_err());
        assert_eq!(on_workers::<Flex, _>(|| 7), 7);
    }
}

//! What is told of long work: how far, how fast, how long still.

use onesheet::progress::{Lines, Pace, Rhythm, Whole, duration};
use std::time::{Duration, Instant};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_bar_says_done_of_rate_and_remaining() {
    let begin = Instant::now();
    let mut pace = Pace::begin("epoch 3/24", 5_864, begin);
    assert_eq!(pace.text(), "0/5864 films");
    pace.at(1_200, Some(0.23456), begin + seconds(6));
    assert_eq!(pace.text(), "1200/5864 films, 200/s, 23 s left, loss 0.2346");
    // A thread that reports late does not move it back.
    pace.at(1_100, None, begin + seconds(6));
    assert_eq!(pace.counts(), (1_200, 5_864));
    let mut slow = Pace::begin("decoding", 100, begin);
    slow.at(5, None, begin + seconds(10));
    assert_eq!(slow.text(), "5/100 films, 0.5/s, 3 min left");
}

#[test]
fn a_bar_of_unknown_length_says_what_it_knows() {
    let begin = Instant::now();
    let mut pace = Pace::begin("predicting", 0, begin);
    pace.at(300, None, begin + seconds(3));
    assert_eq!(pace.text(), "300 films, 100/s");
}

#[test]
fn the_whole_work_is_judged_by_what_was_done_since_it_began() {
    let begin = Instant::now();
    let mut whole = Whole::begin(0.5, begin);
    assert_eq!(whole.text(), "in all 50 %");
    whole.at(0.6, begin + seconds(600));
    assert_eq!(whole.text(), "in all 60 %, 40 min left");
}

#[test]
fn durations_have_the_units_that_say_something() {
    let told = [0, 59, 99, 100, 3_600, 5_970, 12_000, 90_000, 190_000].map(|count| duration(seconds(count)));
    assert_eq!(told, ["0 s", "59 s", "99 s", "2 min", "60 min", "1 h 40 min", "3 h 20 min", "25 h 0 min", "2 d 4 h"]);
}

#[test]
fn without_a_terminal_a_line_comes_now_and_then_and_none_for_short_work() {
    let begin = Instant::now();
    let lines = Lines::default();
    lines.start("verifying", 36_000, begin);
    let told: Vec<(u64, String)> =
        (1..=3_600).filter_map(|at| Some((at, lines.at(10 * at as usize, None, begin + seconds(at))?))).collect();
    assert_eq!(told[0], (10, "verifying: 100/36000 films, 10/s, 60 min left".to_owned()));
    assert!(told.windows(2).all(|pair| (1..=60).contains(&(pair[1].0 - pair[0].0))), "at least one a minute");
    assert!(told.len() < 200, "and not many more: {}", told.len());
    lines.finish();

    lines.start("test", 100, begin);
    assert!((0..10).all(|at| lines.at(at, None, begin + seconds(at as u64)).is_none()), "short work needs no line");
}

#[test]
fn a_line_tells_of_the_whole_work_where_that_is_known() {
    let begin = Instant::now();
    let lines = Lines::new(Rhythm { first: seconds(0), then: seconds(1) });
    lines.whole(0.0, begin);
    lines.start("epoch 2/4", 100, begin);
    lines.whole(0.25, begin + seconds(30));
    let line = lines.at(50, Some(0.5), begin + seconds(10)).unwrap();
    assert_eq!(line, "epoch 2/4: 50/100 films, 5.0/s, 10 s left, loss 0.5000; in all 25 %, 90 s left");
    assert_eq!(lines.at(51, None, begin + seconds(10)), None, "the next one has its time");
}

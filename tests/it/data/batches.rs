use std::collections::HashSet;
use std::sync::Arc;

use onesheet::data::auxiliary::Auxiliary;
use onesheet::data::batches::{Batches, Batching, Order, Source};
use onesheet::data::cache::Cache;
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::films::{Film, Films};
use onesheet::data::refusal::{OnBadImage, Reason};
use onesheet::data::transform::{Augment, Look, Transform, View};
use onesheet::ranks::Place;

use super::{child, is_child, letterboxd, posters, use_up_file_handles, write};

const SPEC: ImageSpec = ImageSpec { height: 12, width: 8 };
const CLASSES: usize = 3;

fn plain(order: Order, size: usize) -> Batching {
    let transform = Transform { size: SPEC, look: Look::View(View::WHOLE) };
    Batching { classes: CLASSES, order, skip: 0, size, transform, place: Place::ALONE }
}

fn film(id: u64) -> Film {
    let genres = if id.is_multiple_of(2) { vec![0, (id % 4 / 2) as usize + 1] } else { vec![1] };
    Film { id, genres }
}

/// The films 1 to `n`, their folder, and both sources of their images.
fn sources(n: u64) -> (tempfile::TempDir, Vec<Film>, [Source; 2]) {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=n);
    let posters = posters(data.path());
    let ids: Vec<u64> = (1..=n).collect();
    let cache =
        Cache::open_or_build(&data.path().join("cache"), &posters, &ids, SPEC, OnBadImage::Skip, &|_| Ok(())).unwrap();
    let films = ids.into_iter().map(film).collect();
    (
        data,
        films,
        [Source::Cache(Arc::new(cache)), Source::Files { posters, spec: SPEC, on_bad_image: OnBadImage::Skip }],
    )
}

#[test]
fn every_film_once_with_its_image_and_its_labels() {
    let (data, films, sources) = sources(11);
    for source in sources {
        for order in [Order::Sequential, Order::Shuffled { seed: 1, epoch: 2 }] {
            let mut seen = Vec::new();
            let mut sizes = Vec::new();
            for batch in Batches::new(source.clone(), &films, plain(order, 4)).unwrap() {
                let batch = batch.unwrap();
                sizes.push(batch.len());
                assert_eq!(batch.images.len(), batch.len() * SPEC.bytes());
                assert_eq!(batch.labels.len(), batch.len() * CLASSES);
                for (at, &id) in batch.ids.iter().enumerate() {
                    let mut image = vec![0; SPEC.bytes()];
                    let path = data.path().join(format!("posters/{id}.jpg"));
                    Decoder::new().decode_poster(&path, SPEC, &mut image).unwrap().unwrap();
                    assert_eq!(batch.images[at * SPEC.bytes()..][..SPEC.bytes()], image, "film {id}");
                    let labels = &batch.labels[at * CLASSES..][..CLASSES];
                    let hot: Vec<usize> = (0..CLASSES).filter(|&class| labels[class] == 1.0).collect();
                    assert_eq!(hot, film(id).genres);
                    assert_eq!(labels.iter().sum::<f32>(), hot.len() as f32);
                }
                seen.extend_from_slice(&batch.ids);
            }
            assert_eq!(sizes, [4, 4, 3], "the last batch is the rest");
            let expected: Vec<u64> = order.indexes(&films).into_iter().map(|at| films[at].id).collect();
            assert_eq!(seen, expected);
        }
    }
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let films: Vec<Film> = (1..=1000).map(film).collect();
    let order = |seed, epoch| Order::Shuffled { seed, epoch }.indexes(&films);
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_eq!(order(1, 0).into_iter().collect::<HashSet<_>>().len(), 1000);
    let kept = order(3, 7).iter().enumerate().filter(|&(at, &index)| at == index).count();
    assert!(kept < 10, "{kept} of 1000 films stayed where they were");
    assert_eq!(Order::Sequential.indexes(&films[..4]), [0, 1, 2, 3]);
    // This must never change: the order is part of what makes a run repeatable.
    assert_eq!(Order::Shuffled { seed: 1, epoch: 0 }.indexes(&films[..8]), [7, 4, 5, 6, 3, 1, 0, 2]);
}

#[test]
fn posters_that_do_not_decode_are_left_out_and_told() {
    let (data, films, [_, source]) = sources(10);
    write(data.path(), "posters/2.jpg", "<html>");
    for id in [5, 6, 7, 8, 9, 10] {
        write(data.path(), &format!("posters/{id}.jpg"), "");
    }
    let mut batches = Batches::new(source, &films, plain(Order::Sequential, 4)).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(batch.ids, [1, 3, 4]);
    assert_eq!(batch.images.len(), 3 * SPEC.bytes());
    let mut third = vec![0; SPEC.bytes()];
    Decoder::new().decode_poster(&data.path().join("posters/4.jpg"), SPEC, &mut third).unwrap().unwrap();
    assert_eq!(batch.images[2 * SPEC.bytes()..], third);
    assert!(batches.next().is_none(), "no batch without films");
    assert!(batches.next().is_none());
    let refused: Vec<_> = batches.refused().iter().map(|(id, refusal)| (*id, refusal.reason)).collect();
    assert_eq!(refused[0], (2, Reason::Html));
    assert_eq!(refused[1..], [5, 6, 7, 8, 9, 10].map(|id| (id, Reason::Empty)));
}

#[test]
fn a_film_that_the_cache_does_not_know_ends_the_epoch_with_an_error() {
    let (_data, mut films, [source, _]) = sources(5);
    films.push(film(99));
    let mut batches = Batches::new(source, &films, plain(Order::Sequential, 2)).unwrap();
    assert!(batches.next().unwrap().is_ok() && batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("the cache has no image of film 99"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn buffers_go_round() {
    let (_data, films, [source, _]) = sources(9);
    let films: Vec<Film> = films.iter().cycle().take(400).cloned().collect();
    let mut places = HashSet::new();
    let mut batches = Batches::new(source, &films, plain(Order::Sequential, 4)).unwrap();
    for batch in batches.by_ref() {
        places.insert(batch.unwrap().images.as_ptr());
    }
    assert!(places.len() <= 6, "{} buffers for 100 batches", places.len());
    assert!(batches.waited() > std::time::Duration::ZERO);
}

#[test]
fn an_epoch_can_be_left_early() {
    let (_data, films, sources) = sources(9);
    for source in sources {
        let mut batches = Batches::new(source, &films, plain(Order::Sequential, 1)).unwrap();
        let batch = batches.next().unwrap().unwrap();
        drop(batches);
        assert_eq!(batch.ids, [1], "a batch outlives its epoch");
    }
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_panic_of_the_thread_is_not_lost() {
    let (_data, films, [source, _]) = sources(4);
    let one_class = Batching { classes: 1, ..plain(Order::Sequential, 2) };
    Batches::new(source, &films, one_class).unwrap().for_each(|batch| drop(batch.unwrap()));
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error() {
    if !is_child() {
        // No thread gets a stack of this size.
        let huge = (1u64 << 60).to_string();
        let test = "data::batches::a_thread_that_cannot_be_started_is_an_error";
        let output = child(test, &[("RUST_MIN_STACK", &huge)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let data = letterboxd("id,genre\n1,Drama\n", 1..=2);
    let source = Source::Files { posters: posters(data.path()), spec: SPEC, on_bad_image: OnBadImage::Skip };
    let error = Batches::new(source, &[film(1), film(2)], plain(Order::Sequential, 2)).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("posters: cannot start a thread: ") && text.contains("; use fewer threads"), "{text}");
    assert_eq!(error.exit_code(), 4);
}

#[test]
fn out_of_file_handles_the_epoch_ends() {
    if !is_child() {
        let output = child("data::batches::out_of_file_handles_the_epoch_ends", &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (_data, films, [_, source]) = sources(4);
    let _none_left = use_up_file_handles();
    let error = Batches::new(source, &films, plain(Order::Sequential, 2)).unwrap().next().unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot read the poster: ") && text.contains("; raise the limit of open files"), "{text}");
    assert_eq!(error.exit_code(), 4);
}

#[test]
fn labels_that_are_not_known_are_marked_in_a_batch() {
    let (data, mut films, sources) = sources(24);
    let rows: String = (3..=23).map(|id| format!("{id},Good\n")).collect();
    write(data.path(), "themes.csv", format!("id,theme\n{rows}"));
    let all = Films::open(data.path(), None).unwrap();
    let auxiliary = Auxiliary::read(data.path(), &"themes".parse().unwrap(), &all).unwrap().unwrap();
    let without = films.split_off(22);
    let ids: Vec<u64> = without.iter().map(|film| film.id).collect();
    let taught = auxiliary.taught(data.path(), &films, &ids).unwrap();
    for source in sources {
        let batching = plain(Order::Sequential, 5);
        let heads = Some(Arc::clone(&taught.heads));
        let batches = Batches::with_heads(source, &taught.train, batching, heads).unwrap();
        let batches: Vec<_> = batches.map(Result::unwrap).collect();
        let labels: Vec<f32> = batches.iter().flat_map(|batch| &batch.labels).copied().collect();
        for (id, labels) in (1..=24).zip(labels.chunks_exact(CLASSES + 1)) {
            let (genres, themes) = labels.split_at(CLASSES);
            assert!(genres.iter().all(|label| label.is_nan() == (id > 22)), "{id}: {genres:?}");
            let hot: Vec<usize> = (0..CLASSES).filter(|&class| genres[class] == 1.0).collect();
            assert!(id > 22 || hot == film(id).genres, "{id}: {hot:?}");
            assert!(if (3..=23).contains(&id) { themes == [1.0] } else { themes[0].is_nan() }, "{id}: {themes:?}");
        }
    }
}

#[test]
fn the_shares_of_ranks_are_the_batches_of_one_process() {
    let (_data, films, [cache, files]) = sources(11);
    let mixing = Augment { flip: true, crop: 0.5, mixup: 0.4, cutmix: 1.0, ..Augment::NONE };
    for source in [cache, files] {
        for augment in [Augment { flip: true, ..Augment::NONE }, mixing] {
            let look = Look::Varied { augment, seed: 3, epoch: 2 };
            let transform = Transform { size: SPEC, look };
            let of = |place: Place| -> Vec<_> {
                let batching = Batching { transform, place, ..plain(Order::Shuffled { seed: 1, epoch: 2 }, 4) };
                Batches::new(source.clone(), &films, batching).unwrap().map(Result::unwrap).collect()
            };
            let whole = of(Place::ALONE);
            for count in 1..=5 {
                let ranks: Vec<_> = (0..count).map(|rank| of(Place { rank, count })).collect();
                for (at, batch) in whole.iter().enumerate() {
                    assert_eq!((batch.first, batch.of_all_ranks), (0, batch.len()));
                    let mut end = 0;
                    for of_rank in &ranks {
                        let share = &of_rank[at];
                        assert_eq!((share.of_all_ranks, share.end), (batch.len(), batch.end));
                        let own = share.first..share.first + share.len();
                        assert_eq!(share.ids, batch.ids[own.clone()]);
                        assert_eq!(share.labels, batch.labels[own.start * CLASSES..own.end * CLASSES]);
                        let bytes = SPEC.bytes();
                        assert!(share.images == batch.images[own.start * bytes..own.end * bytes], "{own:?}");
                        // A batch that is too small for a share each is each rank's.
                        assert_eq!(own.start, if batch.len() < count { 0 } else { end });
                        end = own.end;
                    }
                    assert_eq!(end, batch.len());
                }
            }
        }
    }
}

#[test]
fn a_share_that_lacks_a_poster_is_an_error() {
    let (data, films, [_, files]) = sources(8);
    write(data.path(), "posters/2.jpg", "no JPEG");
    let batching = |place: Place| Batching { place, ..plain(Order::Sequential, 4) };
    let alone: Vec<_> = Batches::new(files.clone(), &films, batching(Place::ALONE)).unwrap().collect();
    assert_eq!(alone[0].as_ref().unwrap().len(), 3);
    let mut of_rank = Batches::new(files, &films, batching(Place { rank: 0, count: 2 })).unwrap();
    let error = of_rank.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("2.jpg"), "{error}");
}

use crate::core::model::owner::Kind;
use crate::core::render::queue::*;

const S: Duration = Duration::from_secs(1);

fn key(namespace: &str, name: &str) -> WorkloadKey {
    WorkloadKey { namespace: namespace.into(), kind: Kind::DEPLOYMENT, name: name.into() }
}

/// What anybody may be given.
fn pop(queue: &mut RenderQueue, now: Duration) -> Option<(WorkloadKey, Priority)> {
    queue.pop(now, &mut 1, |_| true)
}

fn drain(queue: &mut RenderQueue, now: Duration) -> Vec<String> {
    std::iter::from_fn(|| pop(queue, now)).map(|(k, _)| format!("{}/{}", k.namespace, k.name)).collect()
}

#[test]
fn nothing_is_given_before_its_time() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "x"), S * 5, Priority::Moved, S);
    assert_eq!((pop(&mut queue, S * 4), queue.next_due(S * 4)), (None, Some(S * 5)));
    assert_eq!(drain(&mut queue, S * 5), ["a/x"]);
    assert_eq!(queue.next_due(S * 5), None);
}

#[test]
fn a_workload_is_queued_once_however_often_it_is_wanted() {
    let mut queue = RenderQueue::default();
    for i in 0..1000 {
        queue.schedule(&key("a", "x"), S, Priority::ALL[i % 5], S);
    }
    assert_eq!(drain(&mut queue, S), ["a/x"]);
}

#[test]
fn namespaces_are_served_in_turn_and_the_more_urgent_first() {
    let mut queue = RenderQueue::default();
    for name in ["1", "2", "3"] {
        queue.schedule(&key("big", name), S, Priority::Moved, S);
    }
    queue.schedule(&key("small", "1"), S, Priority::Moved, S);
    queue.schedule(&key("zoo", "1"), S, Priority::Confirm, S);
    assert_eq!(drain(&mut queue, S), ["zoo/1", "big/1", "small/1", "big/2", "big/3"]);
}

#[test]
fn after_a_sample_of_each_namespace_sixteen_of_each_are_served_in_a_row() {
    let mut queue = RenderQueue::default();
    for namespace in ["a", "b", "c"] {
        for name in 10..30 {
            queue.schedule(&key(namespace, &name.to_string()), S, Priority::Moved, S);
        }
    }
    let served = drain(&mut queue, S);
    let turns = |count: usize, from: usize| {
        ["a", "b", "c"].iter().flat_map(move |ns| (from..from + count).map(move |name| format!("{ns}/{name}")))
    };
    assert_eq!(served, turns(1, 10).chain(turns(16, 11)).chain(turns(3, 27)).collect::<Vec<_>>());
}

#[test]
fn where_nothing_moved_no_namespace_waits_for_the_samples_of_others() {
    let mut queue = RenderQueue::default();
    for (namespace, name) in ["a", "b"].into_iter().flat_map(|namespace| (10..30).map(move |name| (namespace, name))) {
        queue.schedule(&key(namespace, &name.to_string()), S, Priority::Changed, S);
    }
    let turn =
        |namespace: &'static str, names: std::ops::Range<u32>| names.map(move |name| format!("{namespace}/{name}"));
    let expected = turn("a", 10..26).chain(turn("b", 10..26)).chain(turn("a", 26..30)).chain(turn("b", 26..30));
    assert_eq!(drain(&mut queue, S), expected.collect::<Vec<_>>());
}

#[test]
fn who_has_to_wait_is_passed_by_others_and_is_the_next_one_still() {
    let mut queue = RenderQueue::default();
    for (namespace, name) in ["a", "b", "c"].into_iter().flat_map(|namespace| (1..4).map(move |name| (namespace, name)))
    {
        queue.schedule(&key(namespace, &name.to_string()), S, Priority::Changed, S);
    }
    let of = |namespace: &'static str| move |key: &WorkloadKey| &*key.namespace == namespace;
    let next = |queue: &mut RenderQueue, may: &dyn Fn(&WorkloadKey) -> bool| {
        let mut patience = 9;
        let given = queue.pop(S, &mut patience, may).map(|(key, _)| format!("{}/{}", key.namespace, key.name));
        (given.unwrap_or_default(), 9 - patience)
    };
    assert_eq!(next(&mut queue, &|_| true), ("a/1".to_owned(), 0));
    assert_eq!(next(&mut queue, &of("c")), ("c/1".to_owned(), 5));
    // It has no turn, so nothing is read together with it.
    assert_eq!(queue.rest_of_turn(&key("c", "1"), Priority::Changed).count(), 0);
    assert_eq!(next(&mut queue, &|_| false), (String::new(), 7));
    assert_eq!(queue.len(), 7);
    assert_eq!(queue.rest_of_turn(&key("a", "1"), Priority::Changed).count(), 2);
    // Others of its own namespace pass in its turn.
    assert_eq!(next(&mut queue, &|key| &*key.name != "2"), ("a/3".to_owned(), 1));
    assert_eq!(drain(&mut queue, S), ["a/2", "b/1", "b/2", "b/3", "c/2", "c/3"]);
}

#[test]
fn however_many_have_to_wait_each_of_the_others_is_found_after_a_few_looks() {
    let mut queue = RenderQueue::default();
    for namespace in 100..200 {
        queue.schedule(&key(&format!("busy-{namespace}"), "x"), S, Priority::Moved, S);
    }
    queue.schedule(&key("busy-150-not", "x"), S, Priority::Moved, S);
    let may = |key: &WorkloadKey| key.namespace.ends_with("not");
    let looks = (1..100).find(|_| queue.pop(S, &mut 10, may).is_some());
    assert!(looks.is_some_and(|looks| looks <= 12), "{looks:?}");
    assert_eq!(queue.len(), 100);
}

#[test]
fn what_comes_next_in_a_turn_is_known_and_what_is_not_wanted_any_more_is_not_among_it() {
    let mut queue = RenderQueue::default();
    for name in 10..40 {
        queue.schedule(&key("a", &name.to_string()), S, Priority::Moved, S);
    }
    let (a, b) = (key("a", "10"), key("b", "1"));
    let rest = |queue: &RenderQueue| {
        queue.rest_of_turn(&a, Priority::Moved).map(|key| key.name.to_string()).collect::<Vec<_>>()
    };
    let names = |range: std::ops::Range<u32>| range.map(|name| name.to_string()).collect::<Vec<_>>();
    pop(&mut queue, S);
    // The sample is a turn of its own.
    assert_eq!(rest(&queue), names(0..0));
    pop(&mut queue, S);
    assert_eq!(rest(&queue), names(12..27));
    queue.cancel(&key("a", "12"));
    assert_eq!(rest(&queue), names(13..28));
    assert_eq!(queue.rest_of_turn(&a, Priority::Changed).count(), 0);
    assert_eq!(queue.rest_of_turn(&b, Priority::Moved).count(), 0);
    queue.schedule(&key("b", "1"), S, Priority::Moved, S);
    let next = drain(&mut queue, S);
    assert_eq!((next[14].as_str(), next[15].as_str()), ("a/27", "b/1"));
}

#[test]
fn a_second_rendering_goes_before_any_first_one() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "new"), S, Priority::Changed, S);
    queue.schedule(&key("a", "differs"), S, Priority::Second, S);
    queue.schedule(&key("a", "rolls"), S, Priority::Confirm, S);
    assert_eq!(drain(&mut queue, S), ["a/rolls", "a/differs", "a/new"]);
}

#[test]
fn a_lane_that_is_always_full_starves_no_other() {
    let mut queue = RenderQueue::default();
    for name in 10..50 {
        queue.schedule(&key("quiet", &name.to_string()), S, Priority::Periodic, S);
    }
    let (mut served, mut first) = (0, None);
    for second in 1..400 {
        let now = S * second;
        // There is always more that is more urgent than anybody can serve.
        for name in 0..5 {
            queue.schedule(&key("noisy", &name.to_string()), now, Priority::Moved, now);
        }
        if pop(&mut queue, now).is_some_and(|(_, priority)| priority == Priority::Periodic) {
            served += 1;
            first.get_or_insert(second);
        }
    }
    // None before they have waited for a minute, then every fourth turn is theirs.
    assert_eq!((served, first), (40, Some(64)));
}

#[test]
fn who_waits_behind_two_lanes_is_served_in_the_order_of_arrival() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "periodic"), S, Priority::Periodic, S);
    queue.schedule(&key("a", "moved"), S * 2, Priority::Moved, S);
    let mut served = Vec::new();
    for second in 2..100 {
        let now = S * second;
        queue.schedule(&key("noisy", &(second % 3).to_string()), now, Priority::Changed, now);
        queue.schedule(&key("noisy", &(second % 5).to_string()), now, Priority::Changed, now);
        let given = pop(&mut queue, now).filter(|(key, _)| &*key.namespace == "a");
        served.extend(given.map(|(key, _)| key.name.to_string()));
    }
    assert_eq!(served, ["periodic", "moved"]);
}

#[test]
fn an_event_never_costs_a_workload_its_place() {
    // Each second one is served, of a hundred that are wanted again at once.
    let rounds = |event: &dyn Fn(&mut RenderQueue, &WorkloadKey, Duration)| {
        let mut queue = RenderQueue::default();
        let (name, mut served) = (|number: u32| key("a", &format!("{number:03}")), 0);
        for number in 0..100 {
            queue.schedule(&name(number), S, Priority::Moved, S);
        }
        for second in 1..1000 {
            let now = S * second;
            event(&mut queue, &name(50), now);
            if let Some((given, _)) = pop(&mut queue, now) {
                served += usize::from(given == name(50));
                queue.schedule(&given, now, Priority::Moved, now);
            }
        }
        served
    };
    let quiet = rounds(&|_, _, _| {});
    assert_eq!(quiet, 10);
    let again = |queue: &mut RenderQueue, key: &WorkloadKey, now| queue.schedule(key, now, Priority::Moved, now);
    assert_eq!(rounds(&again), quiet);
    // Its Pods are too young for a moment, or its own rollout begins and ends.
    let taken_back = |queue: &mut RenderQueue, key: &WorkloadKey, now: Duration| {
        queue.drop_wish(key);
        queue.schedule(key, now, Priority::Moved, now);
    };
    assert_eq!(rounds(&taken_back), quiet);
    let put_off = |queue: &mut RenderQueue, key: &WorkloadKey, now: Duration| {
        queue.schedule(key, now + S, Priority::Moved, now);
        queue.schedule(key, now, Priority::Moved, now);
    };
    assert_eq!(rounds(&put_off), quiet);
}

#[test]
fn a_place_is_forgotten_with_its_workload_and_when_nothing_is_waited_for() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "x"), S, Priority::Moved, S);
    queue.drop_wish(&key("a", "x"));
    assert_eq!((queue.len(), queue.entries()), (0, 1));
    queue.schedule(&key("a", "y"), S, Priority::Periodic, S);
    queue.schedule(&key("a", "y"), S * 3600, Priority::Periodic, S);
    queue.drop_wish(&key("a", "y"));
    assert_eq!(queue.entries(), 1);
    queue.cancel(&key("a", "x"));
    assert_eq!(queue.entries(), 0);
}

#[test]
fn a_new_move_starts_the_settling_again_even_for_what_was_ready_but_not_for_ever() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "x"), S, Priority::Changed, S);
    queue.settle(&key("a", "x"), S * 6, Priority::Moved, S);
    assert_eq!(pop(&mut queue, S * 5), None);
    for second in 2..200 {
        queue.settle(&key("a", "x"), S * (second + 5), Priority::Moved, S * second);
        if let Some(got) = pop(&mut queue, S * second) {
            assert_eq!((got, second), ((key("a", "x"), Priority::Changed), 61));
            return;
        }
    }
    panic!("never rendered");
}

#[test]
fn what_had_settled_and_waits_for_others_settles_anew_and_what_never_did_goes_on() {
    let mut queue = RenderQueue::default();
    queue.settle(&key("a", "x"), S * 5, Priority::Moved, S);
    assert_eq!(queue.next_due(S * 100), Some(S * 100));
    queue.settle(&key("a", "x"), S * 105, Priority::Moved, S * 100);
    assert_eq!((pop(&mut queue, S * 104), pop(&mut queue, S * 105).is_some()), (None, true));

    for second in 1..62 {
        queue.settle(&key("a", "x"), S * (second + 5), Priority::Moved, S * second);
    }
    for second in [62, 100] {
        queue.settle(&key("a", "x"), S * (second + 5), Priority::Moved, S * second);
        assert_eq!(queue.next_due(S * second), Some(S * second));
    }
    assert!(pop(&mut queue, S * 100).is_some());
}

#[test]
fn a_periodic_look_gives_way_and_does_not_count_as_waiting() {
    let mut queue = RenderQueue::default();
    queue.schedule(&key("a", "x"), S * 100, Priority::Periodic, S);
    assert!(queue.len() == 0 && !queue.wants(&key("a", "x")));
    queue.schedule(&key("a", "x"), S * 200, Priority::Changed, S);
    queue.schedule(&key("a", "x"), S * 2, Priority::Periodic, S);
    assert!(queue.wants(&key("a", "x")));
    assert_eq!((pop(&mut queue, S * 3), queue.len()), (None, 1));
    queue.cancel(&key("a", "x"));
    assert_eq!((queue.next_due(S * 3), queue.len()), (None, 0));
}

#[test]
fn a_wait_that_is_no_settling_is_kept_however_long_it_is() {
    let mut queue = RenderQueue::default();
    for second in 1..500 {
        queue.schedule(&key("a", "x"), S * 600, Priority::Moved, S * second);
        assert_eq!(pop(&mut queue, S * second), None);
    }
    assert!(pop(&mut queue, S * 600).is_some());
}

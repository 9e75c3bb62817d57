//! Scripts: inputs with times, and below each what the core makes of them.
//!
//! A script is a text file. A line at the left is an input (see [`verbs`]); what is indented below it is the transcript:
//! `>` something is to be done, `!` something is told, `=` a workload's verdict and what holds it, `|` a report, `<` the
//! state ConfigMap as it comes in, `@11s` the core was woken at its own wish. A line that begins with `#` says what the
//! script is about. After a wanted change of behaviour run the tests with `INSTA_UPDATE=always` and read the diff.
//!
//! After every step, whatever the script is about, [`rules`] must hold.

mod answers;
mod any_noise;
mod cluster;
mod every;
mod line;
mod objects;
mod outages;
mod pods;
mod policy;
mod random;
pub(crate) mod rules;
pub(crate) mod show;
mod stage;
mod state;
mod verbs;
pub(crate) mod words;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use self::stage::Stage;

/// The words of the vocabularies that a script shows, each with the vocabulary's name.
type Reached = BTreeSet<(&'static str, &'static str)>;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts")
}

/// Plays the inputs of a script; returns them with the transcript, and the words that it shows.
fn play(script: &str) -> Result<(String, Reached)> {
    let mut stage = Stage::new();
    for (number, line) in script.lines().enumerate() {
        let input = line.trim_end();
        if input.starts_with(' ') {
            continue;
        }
        if input.is_empty() || input.starts_with('#') {
            stage.out.push(input.to_owned());
            continue;
        }
        stage.play(input).with_context(|| format!("line {}: {input}\n{}", number + 1, transcript(&stage)))?;
    }
    Ok((transcript(&stage), stage.reached))
}

fn transcript(stage: &Stage) -> String {
    let made = |line: &String| line.starts_with(['>', '!', '=', '|', '<', '@']);
    let lines = stage.out.iter().map(|line| if made(line) { format!("      {line}\n") } else { format!("{line}\n") });
    lines.collect()
}

/// Plays a script and compares its transcript with the one that it holds.
fn check(name: &str) -> Result<()> {
    let path = directory().join(name).with_extension("txt");
    let script = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(script.starts_with("# "), "{name} does not say what it is about");
    let (found, _) = play(&script)?;
    if found == script {
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "the switch that insta has for its snapshots, too")]
    let update = std::env::var("INSTA_UPDATE").is_ok_and(|word| word == "always");
    if update {
        return fs::write(&path, found).with_context(|| path.display().to_string());
    }
    let at = found.lines().zip(script.lines()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| text.lines().skip(at.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
    anyhow::bail!("{name} says other things from line {}:\n{}\n\nexpected:\n{}", at + 1, from(&found), from(&script))
}

/// One test for each script of a directory, so that each has its name and runs beside the others.
macro_rules! scripts {
    ($($directory:ident { $($name:ident)* })*) => {
        $(mod $directory {
            $(#[test]
            fn $name() -> anyhow::Result<()> {
                super::check(concat!(stringify!($directory), "/", stringify!($name)))
            })*
        })*

        const ALL: &[&str] = &[$($(concat!(stringify!($directory), "/", stringify!($name))),*),*];
    };
}

scripts! {
    detect {
        a_change_is_told_and_its_loss_held
        a_changed_field_beside_a_volatile_one_is_drift
        a_count_that_is_the_first_renderings_ordinal
        a_field_that_is_really_lost_is_rolled
        a_field_that_is_volatile_stays_masked
        a_forbidden_kind_stays_visible
        a_label_that_a_controller_adds_may_match
        a_label_that_nobody_adds_does_not_match
        a_loss_that_a_person_lets_go
        a_masked_field_is_confirmed_by_a_third_rendering
        a_masked_field_that_stays_the_same_is_compared_again
        a_move_beside_a_volatile_field_is_no_volatile_field
        a_move_between_two_renderings_is_no_volatile_field
        a_mutator_that_is_down_takes_no_fields_away
        a_pod_patched_by_hand_is_never_acted_on
        a_renamed_container_beside_another_injector
        a_renamed_container_hides_no_drift
        a_rollout_that_goes_on_for_ever_is_judged
        a_second_rendering_goes_before_first_ones
        a_stuck_rollout_is_not_rendered_again_and_again
        a_value_that_a_rendering_had_needs_no_third_one
        a_witness_of_another_injector_proves_nothing
        absence_is_not_proven_where_an_earlier_webhook_adds_labels
        absence_is_not_proven_where_something_fails_open
        absence_is_proven_where_everything_fails_closed
        absence_under_what_if_is_proven_where_everything_fails_closed
        absence_where_nothing_is_listed_takes_its_time
        accepted_for_a_while
        alternating_images_are_unstable
        an_injector_of_others_that_rolls_holds_nobody
        an_injector_that_comes_and_goes_is_unstable
        an_older_revision_that_cannot_be_rendered
        c8_a_rollout_that_does_not_move_on_is_judged
        c8_each_revision_with_pods_is_rendered_once
        c8_half_rolled_deployments_are_judged_on_every_replica_set
        every_reason_an_answer_can_have
        failures_are_asked_again_ever_more_seldom
        fewer_at_once_after_a_refusal
        forbidden_pods_leave_the_workloads_visible
        forbidden_replicasets_concern_deployments_only
        ignored_fields_make_no_drift
        in_sync_takes_one_rendering
        injectors_that_cannot_be_seen
        injectors_that_cannot_be_seen_hold_a_daemon
        its_own_rollout
        many_replicas_and_a_hot_patched_pod
        missing_and_placement
        more_revisions_than_are_rendered
        named_sidecars_only
        no_periodic_look_while_the_injector_rolls
        nothing_listed_and_back_again
        nothing_listed_is_told_and_held
        one_namespace_wavers
        one_rendering_without_the_injector_is_no_flapping
        one_that_is_deleted_runs_pods_until_they_are_gone
        opted_out
        ordinals_of_two_revisions_are_no_drift
        owners_heard_of_first
        owners_heard_of_last
        rejected_and_recovered
        relist_forgets_what_vanished
        relist_of_the_same_renders_nothing
        resync_renders_once_each_period
        slow_injectors_rest
        stray_pods_with_a_known_sidecar
        templates_of_a_namespace_are_read_together
        throttled_waits_as_long_as_the_server_says
        volatile_fields_are_masked
        what_a_mask_hides_is_not_taken_away
        what_differs_is_rendered_twice
        what_does_not_follow_the_ordinal_is_drift
        what_follows_the_ordinal_is_no_drift
        what_if_is_never_acted_on
        what_its_owner_ignores_is_not_looked_at
        who_waits_for_a_busy_injector_lets_others_pass
        who_wants_pods_and_has_none_is_asked
        workloads_without_pods_are_asked_on_demand
        workloads_without_pods_are_not_asked
        young_pods_do_not_count
    }
    late {
        a_change_between_two_renderings
        a_change_that_is_taken_back_wavers
        a_day_of_late_changes
        a_slow_injector_is_not_a_complete_scan
        few_samples_show_it
        the_first_sweep_ends_with_the_last_verdict
    }
    noise {
        a_change_of_what_is_written_all_the_time
        a_change_under_a_minute
        a_change_under_a_namespace
        a_change_under_ten_seconds
        a_config_map_every_minute
        a_config_map_every_ten_seconds
        a_late_change_under_noise
        a_namespace_every_minute
        a_quiet_day
        cm15
        copies_in_every_namespace
        names_that_are_always_new
        noise_canary
        noise_canary_and_a_change
    }
    process {
        a_confirmation_that_finds_a_request_under_way
        a_crash_before_the_patch
        a_crash_between_patch_and_reply
        a_crash_between_two_workloads
        a_crash_while_pods_roll
        a_failed_canary_over_a_restart
        a_follower_does_nothing
        a_follower_writes_no_events
        a_fresh_process_finds_an_owners_rollout
        a_late_one_counts_once_over_a_restart
        a_move_that_no_object_tells_while_nobody_leads
        a_move_while_another_replica_leads
        a_move_while_nobody_leads
        a_move_while_the_canary_rolls_and_nobody_leads
        a_person_pauses
        a_person_stops_a_rollout
        a_proof_that_does_not_say_of_what
        a_restart_in_the_soak_keeps_the_proof
        a_restart_keeps_the_lock
        a_restart_while_the_canary_rolls
        alerts
        an_owners_rollout_after_ours
        another_replica_saw_a_canary_fail
        begun_by_hand_while_the_daemon_runs
        begun_by_the_daemon_and_found_by_hand
        events
        guard
        late_answers_of_a_workload_that_is_gone
        leadership_lost_while_it_rolls
        no_budget_from_a_restart
        no_events_unless_asked_for
        one_shot_needs_no_state
        shutdown_in_the_middle
        somebody_else_writes_the_state
        state_missing_means_paused
        the_configuration_changes
        the_lead_comes_back_during_a_patch
        the_lead_comes_back_in_the_soak
        the_lease_is_gone_at_the_last_moment
        the_state_cannot_be_written
        the_state_is_made_anew
        the_state_vanishes_before_the_patch
        what_ended_is_not_adopted_again
    }
    queues {
        absence_of_160
        failures_enforced
        failures_of_40
        flapping_of_40
        starve_160
    }
    rollouts {
        a_broken_pod_pins_its_stateful_set
        a_busy_cluster_and_a_sick_injector
        a_canary_of_a_namespace_closes_it_alone
        a_canary_of_all_closes_its_cause_everywhere
        a_canary_scaled_to_zero_proves_nothing
        a_canary_that_came_too_early
        a_canary_that_fails_holds_the_others
        a_canary_that_goes_away
        a_canary_that_is_unhealthy_in_its_soak
        a_daemon_set_on_a_node_that_is_not_ready
        a_clock_that_was_ahead
        a_confirmation_that_fails
        a_confirmation_that_is_old_when_the_state_is_written
        a_daemon_set_whose_node_is_not_ready
        a_dead_node_frees_the_slot
        a_described_kind
        a_failed_canary_and_a_move
        a_failed_canary_waits_for_a_person
        a_failed_start_costs_no_budget
        a_lost_answer_of_a_patch_that_was_not_written
        a_lost_answer_of_a_patch_that_was_written
        a_lost_race_before_the_lead_is_lost_counts_for_nothing
        a_lost_race_while_a_pod_comes_back
        a_lowered_hourly_limit_counts_what_was_begun
        a_move_needs_a_canary_of_its_own
        a_new_pod_that_is_not_ready_keeps_the_slot
        a_patch_by_hand_during_evictions
        a_patch_by_hand_is_not_undone
        a_patch_in_vain_counts_for_nothing
        a_person_does_not_roll_unseen
        a_proof_that_is_lost_before_the_patch
        a_retry_lifts_a_patch_by_hand
        a_scaled_out_one_is_given_up
        a_shared_budget_lets_one_after_the_other
        a_slot_ends_when_the_new_pods_are_ready
        a_slot_that_was_given_back
        a_slow_one_counts_once
        a_small_cluster_is_busy_from_a_quarter_on
        a_soak_that_ends_well
        a_start_that_is_seen_before_its_answer
        a_stripped_canary
        a_wait_of_a_day_after_a_patch
        a_wait_without_end_after_a_rendering
        a_wait_without_end_after_an_eviction
        a_watch_without_connection_holds
        all_new_pods_that_go_take_the_slot_back
        allowed_all_the_same
        an_answer_that_comes_after_what_it_wrote
        an_autoscaler_does_not_keep_it_from_converging
        an_autoscaler_takes_no_slot_back
        an_image_that_cannot_be_pulled
        an_injector_that_goes_to_and_fro
        an_old_attempt_lands_late
        an_old_pod_that_is_down_is_evicted_without_room
        an_old_pod_that_is_down_stays_where_its_budget_guards_it
        an_operator_owns_it
        an_outcome_is_taken_back
        attempts_are_on_record
        born_shortly_after_a_move
        canary_soak_and_the_others
        conflict_three_times
        converged_means_that_it_stays_ready
        cooldown_daily_cap_and_already_tried
        crashing_pods
        deleted_after_it_was_planned
        deleted_and_made_anew_while_it_rolls
        denied
        disruption_budgets
        drift_that_is_gone_is_not_rolled
        each_source_that_is_forbidden_later_holds
        evicted_one_after_the_other
        evictions_are_taken_over
        evictions_end_where_the_rest_is_not_acted_on
        evictions_leave_what_the_owner_holds_back
        evictions_of_a_plain_replica_set_are_taken_over
        evictions_stop_at_new_pods_that_still_differ
        evictions_stop_while_something_is_unseen
        evictions_that_cannot_be_confirmed
        evictions_wait_for_a_disruption_budget
        evictions_while_a_pod_is_down
        evictions_whose_answers_go_wrong
        evictions_within_a_window
        gated_paused_and_refused
        hourly_sliding_window
        hourly_sliding_window_over_a_restart
        kinds_and_strategies_that_hold
        leaves_by_its_kind_while_it_is_patched
        leaves_by_its_label_while_it_rolls
        leaves_by_its_namespace_label_while_it_is_confirmed
        leaves_while_it_waits_for_the_state
        leaves_while_its_pods_are_evicted
        maintenance_windows
        namespaces_that_cannot_be_read
        new_pods_that_crash
        new_pods_that_no_node_takes
        new_pods_that_still_differ
        new_pods_without_any_sidecar
        one_bad_one_does_not
        one_from_plan_to_end
        only_what_was_created_before
        opted_out_after_it_was_planned
        our_own_rollout_fails_at_its_first_pod
        parallel_and_one_in_a_namespace
        plain_replica_sets_are_evicted
        pods_that_are_ready_between_crashes
        progress_deadline
        regardless_of_drift
        regardless_of_drift_is_not_the_default
        report_mode_changes_nothing
        slow_and_steady_is_not_late
        the_breaker_opens_for_one_namespace
        the_hourly_budget
        the_injector_moves_before_the_patch
        the_owner_rolls_meanwhile
        the_quota_is_full
        the_same_change_comes_again
        the_stamp_is_stripped
        the_watch_of_pods_is_behind
        times_of_the_future_in_the_state
        too_slow_but_in_the_end_there
        tried_whatever_the_number_of_replicas
        two_bad_ones_open_the_breaker
        two_budgets_over_one_pod_hold
        what_a_partition_keeps_is_judged_and_not_rolled
        what_may_not_be_listed_holds
        what_was_begun_counts_though_its_workload_is_gone
        what_was_late_and_moves_on_is_not_stalled
        whatever_becomes_of_the_app_is_collateral
        windows_over_a_change_of_clocks
    }
    triggers {
        a_config_map_behind_a_webhook
        a_real_pod_contradicts_its_dry_run
        a_rendering_under_way_while_the_injector_moves
        a_service_that_selects_another_injector
        a_witness_has_lost_it_too
        a_witness_is_asked
        a_witness_is_asked_for_two_revisions
        a_witness_makes_removed_believed
        another_copy_takes_over
        half_of_the_injector
        namespace_labels
        one_namespace_does_not_speak_for_others
        policies_and_bindings
        r11_an_object_that_a_person_named
        r11_params_of_a_policy
        r12_a_pod_born_after_the_last_rendering
        removed_needs_a_witness
        service_accounts_limit_ranges_and_nodes
        the_deployment_behind_a_webhook
        what_changed_right_before_the_start
        what_means_nothing_renders_nothing
        what_never_rests_is_rendered_all_the_same
    }
}

#[test]
fn every_script_is_played() -> Result<()> {
    let mut missed = Vec::new();
    for directory in fs::read_dir(directory())?.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_dir()) {
        for script in fs::read_dir(&directory)?.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = script.strip_prefix(self::directory())?.with_extension("").display().to_string();
            if !ALL.contains(&name.as_str()) {
                missed.push(name);
            }
        }
    }
    ensure!(missed.is_empty(), "name them in scripts.rs: {missed:?}");
    Ok(())
}

/// Every word that some script shows.
pub(crate) fn reached() -> Result<Reached> {
    let mut all = Reached::new();
    for name in ALL {
        let path = directory().join(name).with_extension("txt");
        let (_, reached) = play(&fs::read_to_string(path)?).with_context(|| (*name).to_owned())?;
        all.extend(reached);
    }
    Ok(all)
}

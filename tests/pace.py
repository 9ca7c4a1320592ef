"""Which tests are slow, which run alone, which belong to the soak: the one list, with seconds.

Seconds are of two cores that ran nothing else, with two test processes. A line names a file, or a test in it with all
its parameters, or one of these. The markers are `slow` (over about 1 s: left out by `make test-fast`), `soak` (run by
`make soak` only) and `alone` (follows an emulated arm in real time, so it needs the cores).
"""

SOAK = {
    "tests/deploy/teaching/test_guiding.py::"
    "test_an_emulated_arm_that_is_pulled_is_recorded_through_the_real_client": 11.2,
    "tests/pretraining/test_loop.py::"
    "test_the_command_stopped_by_a_signal_and_resumed_equals_an_uninterrupted_run[2-130]": 16.3,
    "tests/test_recipes.py::test_every_command_of_a_recipe_takes_the_keys_that_it_is_given[rl_experts mvp]": 3.1,
    "tests/tokens/training/test_dvae.py::test_bfloat16_trains_float32_weights_and_learns_as_float32_does": 4.6,
    "tests/deploy/processes/test_children.py::test_a_child_ends_when_its_parent_is_killed[stubborn-up]": 6.6,
    "tests/deploy/teaching/test_replaying.py::test_on_the_emulated_arm_through_the_real_client_too": 16.5,
    "tests/policies/features/test_parallel_encoder.py::"
    "test_a_users_mistake_in_a_process_is_told_as_it_is_anywhere_else": 9.1,
    "tests/policies/rl/test_train.py::test_a_run_that_was_stopped_goes_on_to_the_same_bits[True]": 5.5,
    "tests/policies/rl/test_train.py::test_reward_is_learned_from_frozen_features[True]": 12.0,
    "tests/policies/rl/test_train.py::test_statistics_of_inputs_are_of_what_was_seen_unless_they_are_left_out": 10.0,
    "tests/pretraining/test_architectures.py::test_a_resumed_mamba_ends_like_an_uninterrupted_one": 3.7,
    "tests/test_recipes.py::test_every_command_of_a_recipe_takes_the_keys_that_it_is_given[tables full]": 4.7,
    "tests/test_train_dagger.py::test_a_person_at_a_terminal_shows_the_task_takes_the_arm_and_gives_it_back": 12.4,
    "tests/test_train_expert.py::test_a_policy_from_pixels_on_frozen_features_is_one_that_evaluate_loads": 15.1,
    "tests/tokens/store/test_executors.py::test_a_process_that_dies_once_blames_no_file": 4.1,
    "tests/tokens/test_damage.py::test_strict_finishes_the_store_and_exits_with_1": 4.6,
    "tests/tokens/test_damage.py::test_verify_names_the_damaged_shards_and_a_repeated_command_mends_them": 6.3,
    "tests/deploy/test_check.py::test_a_scene_in_another_look_is_out_for_the_policy": 8.4,
    "tests/deploy/test_fuzz.py::test_nothing_out_of_limits_is_sent_and_the_arm_is_let_go[cameras-3]": 9.9,
    "tests/pretraining/test_distributed.py::test_a_run_of_two_that_is_killed_goes_on_as_one": 17.0,
    "tests/pretraining/test_distributed.py::test_two_processes_have_the_losses_of_one[fsdp]": 13.3,
    "tests/policies/dagger/test_train.py::test_a_process_killed_with_sigkill_resumes_to_the_same_bits": 14.0,
    "tests/pretraining/test_loop.py::"
    "test_the_command_stopped_by_a_signal_and_resumed_equals_an_uninterrupted_run[9--9]": 18.4,
    "tests/tokens/store/test_build.py::test_a_store_killed_half_way_goes_on_to_the_same_result": 11.4,
    "tests/tokens/training/test_vqgan.py::test_training_learns_and_uses_its_codes": 16.0,
    "tests/deploy/test_fuzz.py::test_nothing_out_of_limits_is_sent_and_the_arm_is_let_go[faults-4]": 8.0,
    "tests/policies/cloning/test_train.py::test_cloning_learns_the_toy_task[transformer]": 9.3,
    "tests/policies/cloning/test_train.py::"
    "test_a_run_resumed_at_any_checkpoint_ends_with_the_same_bits[transformer]": 5.9,
    "tests/policies/scoring/test_held_out.py::"
    "test_a_run_resumed_after_its_best_epoch_ends_with_the_same_bits[transformer]": 2.4,
    "tests/policies/dagger/gates/test_gates.py::test_a_run_with_any_gate_resumes_to_the_same_bits[lazy]": 1.1,
    "tests/policies/dagger/gates/test_gates.py::test_a_run_with_any_gate_resumes_to_the_same_bits[ensemble]": 1.3,
    "tests/test_looks.py::test_a_tokenizer_alone_has_codes_and_no_transformer": 5.0,
    "tests/envs/test_vector.py::test_results_do_not_depend_on_the_workers[franka_reach]": 2.3,
    "tests/envs/test_vector.py::test_results_do_not_depend_on_the_workers[kuka_gripper_move]": 2.1,
    "tests/envs/test_vector.py::test_results_do_not_depend_on_the_workers[kuka_pick_pixmc]": 1.6,
    "tests/policies/network/test_trained_blocks.py::"
    "test_a_clone_trains_blocks_and_resumes_to_the_same_bits[transformer]": 2.0,
    "tests/tokens/training/test_vqgan.py::test_a_resumed_run_equals_an_uninterrupted_one": 3.8,
    "tests/tokens/training/test_vqgan.py::"
    "test_the_command_saves_a_tokenizer_that_opens_with_its_scores_and_picture": 3.4,
    "tests/policies/network/test_trained_blocks.py::test_only_the_chosen_blocks_learn[last_2-learning1]": 1.3,
    "tests/policies/cloning/test_streaming.py::"
    "test_a_streamed_set_gives_the_policy_of_a_set_in_memory_bit_for_bit[transformer]": 3.0,
    "tests/envs/test_vector.py::test_results_do_not_depend_on_the_workers[franka_pick_hidden]": 2.1,
    "tests/demos/recording/test_recorder.py::"
    "test_the_set_does_not_depend_on_how_many_run_side_by_side_nor_on_interruptions[all]": 2.5,
    "tests/policies/dagger/gates/test_gates.py::test_a_run_with_any_gate_resumes_to_the_same_bits[hg]": 1.1,
    "tests/deploy/test_run_real.py::test_pictures_that_the_policy_doesnt_know_end_the_run_before_anything_moves": 28.8,
    "tests/tokens/store/test_build.py::test_random_views_are_rows_that_depend_on_the_video_and_the_clip_alone": 11.6,
    "tests/test_train_expert.py::test_the_expert_of_a_run_does_in_the_simulators_process_what_its_policy_does": 13.4,
    "tests/test_train_expert.py::test_demonstrations_are_recorded_by_the_expert_of_a_run": 9.8,
    "tests/policies/dagger/test_train.py::test_dagger_beats_cloning_the_expert_where_errors_compound": 12.3,
    "tests/policies/rl/test_train.py::test_reward_is_learned_from_frozen_features[False]": 12.1,
    "tests/policies/cloning/test_train.py::test_cloning_learns_the_toy_task[mlp]": 7.0,
    "tests/demos/store/test_demo_set.py::test_a_writer_that_stops_at_any_file_loses_only_its_episode": 8.4,
    "tests/envs/test_robot_env.py::test_the_scripted_expert_picks_on_every_seed_of_a_sample[franka_cube-15]": 6.9,
}
"""Tests with a sister that stays in the suite (the other signal, strategy or tokenizer, the same check in run_real, a
run that is resumed in one process), or with a whole soak of their own (tokenize_kills.py, deploy_fuzz.py)."""

SLOW = {
    "tests/test_add_look.py": 0,
    "tests/test_arrow.py": 20.0,
    "tests/test_completion.py": 0,
    "tests/test_evaluate.py": 0,
    "tests/test_generate.py": 0,
    "tests/test_looks.py": 10.3,
    "tests/test_train_bc.py": 32.2,
    "tests/test_train_dagger.py": 28.1,
    "tests/test_train_expert.py": 31.3,
    "tests/deploy/test_check.py": 23.3,
    "tests/deploy/test_fuzz.py": 9.9,
    "tests/deploy/test_run_real.py": 28.0,
    "tests/envs/test_drawing.py": 4.0,
    "tests/ground/test_siblings.py": 3.0,
    "tests/deploy/emulator": 0,
    "tests/deploy/processes/test_children.py": 6.4,
    "tests/deploy/teaching": 23.0,
    "tests/demos/test_convert.py": 0,
    "tests/demos/test_damage.py": 0,
    "tests/policies/cloning/test_train.py": 7.9,
    "tests/policies/dagger/test_train.py": 14.0,
    "tests/policies/rl/test_train.py": 0,
    "tests/pretraining/test_distributed.py": 37.2,
    "tests/pretraining/test_loop.py": 39.3,
    "tests/tokens/store/test_build.py": 18.9,
    "tests/tokens/store/test_executors.py": 11.5,
    "tests/tokens/test_damage.py": 15.7,
    "tests/tokens/training": 28.6,
    "tests/test_recipes.py": 0,
    "tests/test_render.py": 0,
    "tests/test_compare.py": 0,
    "tests/test_rooms.py::test_every_choice_of_every_group_composes": 0,
    "tests/demos/recording": 0,
    "tests/demos/test_commands.py": 0,
    "tests/demos/test_diffusion_policy.py": 0,
    "tests/demos/store/test_demo_set.py::test_a_writer_that_stops_at_any_file_loses_only_its_episode": 0,
    "tests/demos/store/test_demo_set.py::test_any_lengths_shapes_and_types_survive": 0,
    "tests/demos/store/test_demo_set.py::test_sigkill_leaves_every_finished_episode_whole": 0,
    "tests/envs/backends/test_isaac_gym.py": 0,
    "tests/envs/test_vector.py::test_results_do_not_depend_on_the_workers": 0,
    "tests/envs/test_vector.py::test_workers_import_the_program_only_for_a_labeller_of_its_own": 0,
    "tests/policies/cloning/test_redrawing.py": 0,
    "tests/policies/cloning/test_streaming.py": 0,
    "tests/policies/dagger/gates/test_gates.py::test_a_run_with_any_gate_resumes_to_the_same_bits": 0,
    "tests/policies/experts": 0,
    "tests/policies/network/test_trained_blocks.py": 0,
    "tests/policies/scoring/test_held_out.py": 0,
    "tests/policies/test_history.py": 0,
    "tests/pretraining/test_architectures.py": 0,
    "tests/pretraining/test_checkpoint.py": 0,
    "tests/deploy/test_policy_fit.py": 0,
    "tests/command/test_run.py": 0,
    "tests/models/test_presets.py": 0,
    "tests/test_odd_paths.py": 0,
    "tests/envs/test_robot_env.py::test_the_scripted_expert_picks_on_every_seed_of_a_sample": 0,
    "tests/models/test_toto.py::test_hidden_states_at_every_layer_and_logits_equal_hugging_faces": 0,
    "tests/policies/features/test_parallel_encoder.py": 0,
    "tests/test_mutations.py": 0,
    "tests/policies/dagger": 0,
    "tests/policies/cloning": 0,
    "tests/envs/tasks/test_pick_hidden.py": 0,
    "tests/envs/tasks/test_pick_clutter.py": 0,
    "tests/tokens/foreign/test_dalle.py": 0,
    "tests/models/test_coordinate_check.py": 0,
    "tests/envs/backends/test_remote.py": 0,
    "tests/policies/bookkeeping/test_screen.py": 0,
    "tests/evaluation/test_probe.py": 0,
    "tests/demos/test_orientation.py": 0,
    "tests/demos/test_outside.py": 0,
    "tests/envs/test_kuka.py": 0,
    "tests/pretraining/test_config.py": 0,
    "tests/ground/test_gymnasium_ids.py": 0,
}
"""0: slow because it starts commands, renders episodes or trains; not measured on an idle machine yet."""

PARALLEL_IN_DEPLOY = (
    "tests/deploy/test_check.py::test_it_looks_at_everything_and_moves_nothing",
    "tests/deploy/test_check.py::test_mistakes_are_one_sentence_and_exit_code_2",
    "tests/deploy/test_check.py::test_no_robot_is_a_line_and_not_a_traceback",
    "tests/deploy/test_run_real.py::test_a_mistake_is_one_sentence_and_exit_code_2",
    "tests/deploy/test_run_real.py::test_an_episode_is_run_reported_and_recorded",
    "tests/deploy/test_run_real.py::test_help_has_every_exit_code",
    "tests/deploy/test_run_real.py::test_pictures_that_the_policy_doesnt_know_end_the_run_before_anything_moves",
    "tests/deploy/calibration/",
    "tests/deploy/control/test_lead.py",
    "tests/deploy/control/test_machine.py",
    "tests/deploy/control/test_safety.py",
    "tests/deploy/emulator/test_wire.py",
    "tests/deploy/processes/test_policy.py",
    "tests/deploy/processes/test_preflight.py",
    "tests/deploy/session/test_report.py",
    "tests/deploy/test_fuzz.py",
    "tests/deploy/test_policy_fit.py",
    "tests/deploy/test_real_robot_page.py",
)
"""Tests of deploy with a clock of their own, with none, or that accept a busy computer. All others there run alone."""


def arrange(items) -> None:
    """Mark the tests, and put files of slow tests first: a long file at the end would leave the other cores idle."""
    for item in items:
        name = item.nodeid
        if name.partition("[")[0] in SOAK or name in SOAK:
            item.add_marker("soak")
        if listed(name):
            item.add_marker("slow")
        if name.startswith("tests/deploy/") and not name.startswith(PARALLEL_IN_DEPLOY):
            item.add_marker("alone")
    seconds = {item.path: 0.0 for item in items}
    for item in items:
        seconds[item.path] = max(seconds[item.path], listed(item.nodeid))
    items.sort(key=lambda item: -seconds[item.path])


def listed(name: str) -> float:
    """Seconds that the list gives to the test, its file or its folder; 0.1 for 0 there, and 0 for a test not listed."""
    places = [place for place in SLOW if name == place or name.startswith((f"{place}/", f"{place}::", f"{place}["))]
    return max((SLOW[place] or 0.1 for place in places), default=0.0)

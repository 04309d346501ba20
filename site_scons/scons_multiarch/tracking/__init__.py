"""All that leans on SCons' insides; SCons is pinned. Nothing else here changes SCons, or uses a private name of it.

`nodes`: files and targets as they are signed and decided; `state`: what is found out about them. `folders`: those that
builders make. `cache`: CacheDir. `held`: targets that a shared cache has, and this machine not.
`phases`: SCons' records, and what is to happen once all SConscripts were read. `interactive`: sessions. `jobs`: -j.

Each hook by its name, with the SCons code that it leans on, and the test that fails when it does not work any more.
The reason is in the hook's own docstring. `tests/house/test_hooks.py` holds this table against the code of both sides:
it fails when an override is missing here, and when SCons changes a function that is named here.

nodes.Tracked.get_csig: SCons.Node.FS.File.get_csig, SCons.Node.FS.FileNodeInfo
    tests/e2e/test_incremental.py::test_edits_of_the_same_size_within_one_second_are_all_seen
nodes.Tracked.srcnode: SCons.Node.FS.Base.srcnode, SCons.Node.FS.Dir.srcdir_list
    tests/e2e/test_sconscripts.py::test_sources_of_a_variant_folder_are_found_and_their_edits_seen
nodes.Tracked.scan: SCons.Node.Node.scan, SCons.Node.Node.add_to_implicit, SCons.Node.Node.children
    tests/e2e/test_incremental.py::test_a_generated_file_that_a_dockerfile_copies_is_made_first_and_again
nodes.Tracked.is_up_to_date: SCons.Node.FS.File.is_up_to_date
    tests/e2e/test_shared_cache.py::test_a_run_with_nothing_to_do_asks_no_cache
nodes.Tracked.remove: SCons.Node.FS.File.remove
    tests/e2e/test_shared_cache.py::test_what_is_cleaned_is_looked_for_again
nodes.Tracked.retrieve_from_cache: SCons.Node.FS.File.retrieve_from_cache, SCons.Taskmaster.Task.execute
    tests/e2e/test_shared_cache.py::test_another_machine_publishes_without_a_byte_of_a_layer
nodes.Tracked.push_to_cache: SCons.Node.FS.File.push_to_cache, SCons.Taskmaster.Task.execute
    tests/e2e/test_shared_commands.py::test_what_a_command_made_is_taken_by_another_machine
held.taken: SCons.Node.Node.built
    tests/e2e/test_shared_cache.py::test_another_machine_publishes_without_a_byte_of_a_layer
held.look_anew: SCons.Node.FS.File.get_stored_info, SCons.SConsign.Base.store_info
    tests/e2e/test_shared_cache.py::test_a_blob_that_the_cache_lost_is_made_again
held.follow: SCons.Node.FS.File.get_stored_info, SCons.SConsign.Base.store_info
    tests/e2e/test_shared_cache.py::test_what_was_made_of_an_image_stays_when_its_lost_layers_are_made_again
nodes.Tracked.make_ready: SCons.Node.FS.File.make_ready, SCons.Node.Node.get_binfo, SCons.Executor.Executor.get_contents
    tests/e2e/test_scons.py::test_what_is_recorded_holds_the_facts_that_are_found_when_a_target_is_decided
nodes.Tracked.changed: SCons.Node.FS.File.changed, SCons.Node.Node.changed, SCons.Node.FS.File.is_up_to_date
    tests/e2e/test_scons.py::test_a_dependency_that_is_gone_is_a_change
nodes.Tracked.visited: SCons.Node.FS.File.visited
    tests/e2e/test_scons.py::test_what_another_builder_makes_of_an_image_is_decided_as_its_environment_says
nodes.Tracked.release_target_info: SCons.Node.FS.File.release_target_info
    tests/e2e/test_scons.py::test_a_cache_folder_gives_back_the_image_of_these_inputs_and_of_no_others
nodes.Tracked.get_build_env: SCons.Node.Node.get_build_env, SCons.CacheDir.CacheDir.cachepath
    tests/e2e/test_scons.py::test_a_cache_folder_gives_back_the_image_of_these_inputs_and_of_no_others
nodes.Tracked.get_cachedir_csig: SCons.Node.FS.File.get_cachedir_csig, SCons.Node.FS.File.get_cachedir_bsig
    tests/e2e/test_cache.py::test_the_options_of_scons_mean_what_scons_says_they_mean
nodes.Kept.retrieve_from_cache: SCons.Node.FS.File.retrieve_from_cache, SCons.CacheDir.CacheDir.retrieve
    tests/e2e/test_cache.py::test_what_is_damaged_in_the_cache_is_made_again
nodes.Kept.push_to_cache: SCons.Node.FS.File.push_to_cache, SCons.CacheDir.CacheDir.push
    tests/e2e/test_cache.py::test_what_was_edited_while_it_was_made_is_not_kept_for_others
nodes.Tracked.get_binfo: SCons.Node.Node.get_binfo, SCons.Node.FS.File.built, SCons.SConsign.Base.store_info
    tests/e2e/test_shared_trust.py::test_what_was_taken_before_there_was_a_key_is_not_believed_any_more
nodes.Tracked.built: SCons.Node.FS.File.built, SCons.Node.Node.built
    tests/e2e/test_cache.py::test_the_reason_of_the_next_step_and_why_know_what_was_taken
nodes.Tracked.missing: SCons.Node.Node.missing
    tests/e2e/test_folders.py::test_what_is_gone_or_edited_in_a_folder_is_made_again
nodes.StepAction.__call__: SCons.Action._ActionAction.__call__
    tests/e2e/test_lines.py::test_a_step_is_one_line_when_it_ends
nodes.StepBuilder._create_nodes: SCons.Builder.BuilderBase._create_nodes, SCons.Builder.BuilderBase._execute
    tests/e2e/test_scons.py::test_two_environments_that_declare_one_image_alike_make_it_once
nodes.StepExecutor.get_action_targets: SCons.Executor.Executor.get_action_targets
    tests/e2e/test_scons.py::test_images_with_one_side_effect_are_made_one_after_the_other
nodes.StepAction.get_presig: SCons.Action.FunctionAction.__init__, SCons.Action.FunctionAction.get_presig
    tests/e2e/test_upgrade.py::test_nothing_is_built_and_nothing_sent
nodes.StepAction.get_contents: SCons.Action.ActionBase.get_contents, SCons.Action.FunctionAction.execute
    tests/e2e/test_counts.py::test_a_label_starts_no_go_and_sends_one_config_and_manifests
folders.Made.get_stored_info: SCons.Node.FS.File.get_stored_info, SCons.Node.store_info_file
    tests/e2e/test_folders.py::test_a_folder_is_made_first_and_again_when_its_sources_change
folders.Made.is_up_to_date: SCons.Node.FS.Dir.is_up_to_date
    tests/e2e/test_folders.py::test_what_is_gone_or_edited_in_a_folder_is_made_again
folders.Made.prepare: SCons.Node.FS.Dir.prepare
    tests/e2e/test_folders.py::test_a_making_that_fails_half_way_is_not_taken_for_finished
folders.Made.visited: SCons.Node.Node.visited
    tests/e2e/test_folders.py::test_a_folder_is_made_first_and_again_when_its_sources_change
folders.Made.get_csig: SCons.Node.FS.Dir.get_csig, SCons.Node.Node.Decider
    tests/e2e/test_folders.py::test_what_is_made_of_a_folder_sees_that_it_was_made_in_another_run
folders.Plain.get_csig: SCons.Node.FS.File.get_csig, SCons.Node.FS.File.get_cachedir_csig
    tests/e2e/test_folders.py::test_what_is_made_of_a_folder_comes_out_of_a_cache_by_its_contents
folders.Plain.is_up_to_date: SCons.Node.FS.File.is_up_to_date
    tests/e2e/test_folders.py::test_what_is_gone_or_edited_in_a_folder_is_made_again
folders.Plain.prepare: SCons.Node.FS.File.prepare
    tests/e2e/test_session.py::test_a_made_folder_is_decided_anew
folders.Plain.remove: SCons.Node.FS.File.remove
    tests/e2e/test_folders.py::test_what_is_gone_or_edited_in_a_folder_is_made_again
folders.Plain.visited: SCons.Node.FS.File.visited
    tests/e2e/test_folders.py::test_what_is_gone_or_edited_in_a_folder_is_made_again
folders._not_copied: SCons.Node.FS.File.exists, SCons.Node.exists_file
    tests/e2e/test_folders.py::test_a_folder_that_is_made_in_a_variant_folder
folders.as_file: SCons.Node.FS.Entry.disambiguate, SCons.Node.FS.File._morph
    tests/e2e/test_folders.py::test_a_folder_of_the_user_alone_is_made_again_and_what_is_made_of_it
late.Late.scan: SCons.Taskmaster.Taskmaster._find_next_ready_node
    tests/e2e/test_documents.py::test_a_run_with_nothing_to_do_declares_none
phases.after_reading: SCons.Script.Main._main
    tests/e2e/test_sconscripts.py::test_the_event_that_scons_has_not_is_found_where_it_is_looked_for
phases.print_less: SCons.Script.Main.BuildTask.needs_execute, SCons.Script.Main.BuildTask.failed
    tests/e2e/test_lines.py::test_what_scons_prints_says_something
phases.around_commands: SCons.Script.Main.BuildTask.execute, SCons.Taskmaster.Task.execute
    tests/e2e/test_reports.py::test_what_is_made_by_scons_and_its_cache_is_told_as_such
phases.has_succeeded: SCons.Script.Main._build_targets, SCons.Script.Main.main
    tests/e2e/test_lines.py::test_digests_are_all_that_stands_on_standard_output
phases.rename: SCons.Node.FS.RootDir._lookup_abs, SCons.Node.FS.Base.get_labspath
    tests/e2e/test_pipeline.py::test_images_whose_last_parts_are_equal_have_their_whole_names_in_files
phases.override: SCons.Environment.OverrideEnvironment.__getattr__, SCons.Util.envs.MethodWrapper.clone
    tests/e2e/test_pipeline.py::test_a_chain_by_hand_joins_those_of_calls
phases.build_first: SCons.Script.Main._build_targets, SCons.Script.Main._main
    tests/e2e/test_shards.py::test_machines_divide_the_images_and_the_one_that_ends_last_publishes
phases.go_on_after: SCons.Script.Main.BuildTask.do_failed, SCons.Script.Main.BuildTask.failed
    tests/e2e/test_several_registries.py::test_one_that_is_down_leaves_the_other_complete_and_then_it_alone_is_done
phases.has_default: SCons.Script._Set_Default_Targets, SCons.Script._Set_Default_Targets_Has_Been_Called
    tests/e2e/test_sconscripts.py::test_a_default_before_targets_is_the_only_one_and_a_later_one_joins_it
phases.default_lists: SCons.Script._Set_Default_Targets, SCons.Script._Add_Targets
    tests/e2e/test_sconscripts.py::test_a_default_before_targets_is_the_only_one_and_a_later_one_joins_it
interactive.hold_builds_apart: SCons.Script.Main._build_targets, SCons.Script.Interactive.SConsInteractiveCmd.do_build
    tests/e2e/test_session.py::test_the_next_build_sees_every_kind_of_edit
interactive.build_again_by: SCons.Script.Main._main, SCons.Script.Interactive.interact
    tests/e2e/test_watch.py::test_every_kind_of_edit_begins_a_round_that_makes_what_it_touches
interactive.note_globs: SCons.Node.FS.Dir.glob
    tests/e2e/test_watch.py::test_what_was_read_is_read_anew_in_a_new_process
interactive.forget: SCons.SConsign.Reset, SCons.Node.FS.Dir.sconsign, SCons.Executor.Executor.nullify
    tests/e2e/test_session.py::test_clean_and_build_again
phases.Signatures.open: SCons.SConsign.Get_DataBase, SCons.dblite._Dblite.__init__
    tests/e2e/test_scons.py::test_a_run_with_nothing_to_do_writes_no_file
phases.Signatures.opener: SCons.dblite._Dblite.opener
    tests/e2e/test_scons.py::test_a_run_with_nothing_to_do_writes_no_file
phases.Signatures.__setitem__: SCons.dblite._Dblite.__setitem__, SCons.SConsign.DB.write
    tests/e2e/test_scons.py::test_what_other_builders_make_is_recorded_when_it_is_another_and_by_no_question
phases.ReadSignatures.sync: SCons.dblite._Dblite.sync, SCons.dblite._Dblite.close
    tests/e2e/test_scons.py::test_what_other_builders_make_is_recorded_when_it_is_another_and_by_no_question
phases.Signatures.sync: SCons.dblite._Dblite.sync, SCons.SConsign.write
    tests/e2e/test_scons.py::test_a_run_with_nothing_to_do_writes_no_file
jobs.elsewhere: SCons.Taskmaster.Job.NewParallel.__init__, SCons.Taskmaster.Job.NewParallel._maybe_start_worker
    tests/e2e/test_nodes.py::test_more_images_are_built_at_once_than_steps_run_here
jobs.Jobs.wait_for_job: SCons.Taskmaster.Job.NewParallel._work, SCons.Script.Main.BuildTask.execute
    tests/e2e/test_nodes.py::test_no_more_steps_run_here_than_j_says_while_images_are_elsewhere
"""

# What HZ_FUZZ_PLANT=<n> plants: a mistake in a copy of one source file, which is compiled into one target in the file's place. The tree
# itself never has it. A text that is not in its file any more is an error: no plant is lost silently.

# hz_plant(NUMBER TARGET FILE TEXT REPLACEMENT)
function(hz_plant number target file text replacement)
  if(NOT HZ_FUZZ_PLANT EQUAL number)
    return()
  endif()
  file(READ ${PROJECT_SOURCE_DIR}/${file} source)
  string(FIND "${source}" "${text}" at)
  string(FIND "${source}" "${text}" last REVERSE)
  if(at EQUAL -1 OR NOT at EQUAL last)
    message(FATAL_ERROR "plant ${number}: `${text}` must stand in ${file} once")
  endif()
  string(REPLACE "${text}" "${replacement}" source "${source}")
  get_filename_component(name ${file} NAME)
  get_filename_component(folder ${file} DIRECTORY)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/plant/${name} CONTENT "${source}" @ONLY)
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/plant/${name})
  set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/plant/${name} PROPERTIES COMPILE_OPTIONS "-iquote${PROJECT_SOURCE_DIR}/${folder}")
  message(STATUS "plant ${number} in ${target}: ${file}: ${text} -> ${replacement}")
endfunction()

# 1: fragments may be more than the message is long
hz_plant(1 fuzz_ring shm/stream_in.c "if (len > in->joined_total - in->joined_len)" "if (len > in->joined_total)")
# 2: the number of an output is not checked before the plan is asked for its name
hz_plant(2 fuzz_message core/worker_message.c "if (hop->output < from->output_count) {" "if (hop->output < 4096) {")
# 3: an escape in a string may end behind the end of the text
hz_plant(3 fuzz_flow core/flow/json_text.c "at + 6 > scan->len" "at + 2 > scan->len")
# 4: the bound below which a number is written with an exponent
hz_plant(4 fuzz_expression worker/value_number.c "d.point < -5" "d.point < -6")
# 5: the length of a deduplication key is not checked
hz_plant(5 fuzz_request core/api/options.c "len > 0 && len < HZ_SUBMIT_KEY &&" "len > 0 &&")

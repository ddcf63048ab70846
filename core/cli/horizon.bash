# Completion of `horizon` for bash: commands from `horizon help`, flags of a command from its own help, workers and workflows from the server.
_horizon()
{
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} data=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == --data ]] && data=(--data "${COMP_WORDS[i + 1]}")
    done
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(horizon help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p') --help --version" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(horizon help "$command" 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)" -- "$word")
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --data ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
    else
        case $command in
        stop | restart | send | logs | metrics)
            mapfile -t COMPREPLY < <(compgen -W "$(timeout 1 horizon ps --json "${data[@]}" 2>/dev/null | grep -o '"id": *"[^"]*"' | cut -d'"' -f4)" -- "$word") ;;
        help) mapfile -t COMPREPLY < <(compgen -W "$(horizon help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')" -- "$word") ;;
        *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
    fi
}
complete -F _horizon horizon

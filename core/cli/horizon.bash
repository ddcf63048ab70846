# Completion of `horizon` for bash: commands and their words and options from the program's own help; workers, workflows, executions, accounts
# and the like from the data directory that --data names and the server that runs on it.
_horizon_ask() { timeout 2 "$horizon" "$@" "${data[@]}" </dev/null 2>/dev/null; }
_horizon_column() { _horizon_ask "$@" | awk 'NR > 1 && NF > 1 {print $1}'; } # the first of a table
_horizon_commands() { "$horizon" help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'; }
_horizon_workers() { _horizon_ask ps --json | grep -o '"id":"[^"]*"' | cut -d'"' -f4; }
_horizon_workflows()
{
    local folder
    for folder in "${data[1]:-data}"/workflows/*/; do
        [[ -d $folder ]] && basename "$folder"
    done
}
# The words a command begins with: `add MAIL | list` has two.
_horizon_verbs()
{
    "$horizon" help "$command" 2>/dev/null | sed -n "1s/^usage: horizon $command //p" | sed 's/^\[\(.*\)\] \[--data.*/\1/' | tr '|' '\n' |
        sed -n 's/^ *\([a-z][a-z-]*\)\( .*\)\{0,1\}$/\1/p'
}

_horizon()
{
    local horizon=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} data=() words=() i before choice=
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --data)
            ((i++))
            [[ ${COMP_WORDS[i]} == '=' ]] && ((i++))
            ((i < COMP_CWORD)) && data=(--data "${COMP_WORDS[i]}")
            ;;
        --json | --all | --wait | --manager | --follow | --once | --threads | --safe | -f) ;;
        -*)
            ((i++))
            [[ ${COMP_WORDS[i]} == '=' ]] && ((i++))
            ;;
        *) words+=("${COMP_WORDS[i]}") ;;
        esac
    done
    before=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' ]] && ((COMP_CWORD > 1)); then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        choice="$(_horizon_commands) --help --version"
    elif [[ $word == -* ]]; then
        choice="$("$horizon" help "$command" 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u) --help"
    else
        case $before in
        --data) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
        --to) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
        --role) choice='SuperAdmin Admin Manager User Viewer' ;;
        --level) choice='debug info warn error' ;;
        --state) choice='queued running waiting success failed cancelled timed_out crashed interrupted' ;;
        --step) choice='1 60 900' ;;
        --workflow) choice=$(_horizon_workflows) ;;
        --user) choice=$(_horizon_column user list) ;;
        -*)
            if [[ ! ' --json --all --wait --manager --follow --once --threads --safe -f ' == *" $before "* ]]; then
                return # a value only the user knows
            fi
            ;;&
        *)
            case "$command ${#words[@]} ${words[0]-}" in
            'stop 0 ' | 'restart 0 ' | 'send 0 ' | 'logs 0 ') choice=$(_horizon_workers) ;;
            'metrics 0 ') choice="$(_horizon_workers) manager" ;;
            'release 0 ') choice=$(_horizon_column release) ;;
            'start 0 ' | 'exec 0 ' | 'executions 0 ') choice=$(_horizon_workflows) ;;
            cancel*) choice=$(_horizon_column executions) ;;
            'crash 0 ') choice=$(_horizon_column crash) ;;
            'help 0 ') choice=$(_horizon_commands) ;;
            'login 0 ' | 'user 1 password' | 'user 1 role' | 'user 1 disable' | 'user 1 enable') choice=$(_horizon_column user list) ;;
            'user 2 role') choice='SuperAdmin Admin Manager User Viewer' ;;
            'token 1 revoke') choice=$(_horizon_column token list) ;;
            'secret 1 rm') choice=$(_horizon_column secret list) ;;
            'dead 1 redrive') choice=$(_horizon_column dead) ;;
            'alerts 1 silence' | 'alerts 1 unsilence' | 'alerts 1 test')
                choice='worker-down parked memory queue-age error-rate disk store-lag store-degraded recovery'
                ;;
            'user 0 ' | 'token 0 ' | 'secret 0 ' | 'dead 0 ' | 'alerts 0 ' | 'db 0 ' | 'node 0 ') choice=$(_horizon_verbs) ;;
            'check '* | 'import '* | 'run '* | 'db 1 '* | 'node 1 '*) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
            esac
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$word")
}
complete -F _horizon horizon

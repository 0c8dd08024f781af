# Completion of ox for bash: eval "$(ox completions bash)"
_ox() {
    local words=("${COMP_WORDS[@]}") answer line status
    words[COMP_CWORD]="$2"
    answer=$(ox __complete bash "$COMP_CWORD" -- "${words[@]}" 2>/dev/null)
    status=$?
    COMPREPLY=()
    case $status in
        0)
            while IFS= read -r line; do
                [[ -n $line ]] && COMPREPLY+=("$line")
            done <<<"$answer"
            ;;
        10) compopt -o default 2>/dev/null ;;
        11) compopt -o dirnames 2>/dev/null ;;
    esac
}
complete -o nosort -F _ox ox 2>/dev/null || complete -F _ox ox

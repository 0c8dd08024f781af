#compdef ox
# Completion of ox for zsh: eval "$(ox completions zsh)", behind compinit
_ox() {
    local answer code
    local -a candidates line=("${words[@]}")
    # Up to the cursor: what stands behind it is for zsh to match.
    line[CURRENT]=$PREFIX
    answer=$(ox __complete zsh $((CURRENT - 1)) -- "${line[@]}" 2>/dev/null)
    code=$?
    case $code in
        0)
            candidates=("${(@f)answer}")
            [[ -n $answer ]] && _describe -V 'ox' candidates
            ;;
        10) compset -P 1 '--*='; _files ;;
        11) compset -P 1 '--*='; _files -/ ;;
    esac
}
if [[ $funcstack[1] = _ox ]]; then
    _ox "$@"
else
    compdef _ox ox
fi

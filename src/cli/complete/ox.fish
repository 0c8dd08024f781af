# Completion of ox for fish: ox completions fish | source
function __ox_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l index (count $words)
    set -l current (commandline --current-token --cut-at-cursor)
    ox __complete fish $index -- $words "$current" 2>/dev/null
    switch $status
        case 10
            __fish_complete_path "$current"
        case 11
            __fish_complete_directories "$current"
    end
end
complete --keep-order --no-files --command ox --arguments "(__ox_complete)"

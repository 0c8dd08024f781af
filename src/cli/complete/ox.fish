# Completion of ox for fish: ox completions fish | source
function __ox_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l index (count $words)
    set -l current (commandline --current-token --cut-at-cursor)
    # A path may stand behind its flag in one word.
    set -l flag (string match --regex '^--[^=]+=' -- $current)
    set -l path (string replace --regex '^--[^=]+=' '' -- $current)
    ox __complete fish $index -- $words "$current" 2>/dev/null
    switch $status
        case 10
            string join \n -- "$flag"(__fish_complete_path "$path")
        case 11
            string join \n -- "$flag"(__fish_complete_directories "$path")
    end
end
complete --keep-order --no-files --command ox --arguments "(__ox_complete)"

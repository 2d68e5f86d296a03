# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_maintd_global_optspecs
    string join \n v/verbose q/quiet color= h/help V/version
end

function __fish_maintd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_maintd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_maintd_using_subcommand
    set -l cmd (__fish_maintd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c maintd -n "__fish_maintd_needs_command" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_needs_command" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_needs_command" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_needs_command" -s V -l version -d 'Print version'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "serve" -d 'Answer every request with the maintenance page'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "check" -d 'Check the configuration, certificates and pages, and report all errors'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "on" -d 'Move visitors to the page'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "off" -d 'Move visitors back to the live site'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "status" -d 'Show whether the switch is on: exit status 0 on, 3 off, 4 partly, 1 unknown'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "run" -d 'Switch on, run a command, and switch off when it ends'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "rules" -d 'Print the rules of the packet filter that the switch needs'
complete -c maintd -n "__fish_maintd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c maintd -n "__fish_maintd_using_subcommand serve" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l listen -d 'Listen for HTTP on PORT of all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l tls-listen -d 'Listen for HTTPS on such an address; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l cert -d 'The certificate and its chain, in PEM; may be repeated with another --key (RSA and ECDSA)' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l key -d 'The certificate\'s private key, in PEM' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l page -d 'The page' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l retry-after -d 'The value of Retry-After [default: 300]' -r
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l workers -d 'The number of worker processes; "auto" is one for each processor [default: 1]' -r
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l user -d 'The user of the workers if started as root, by name or number [default: www or nobody]' -r
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l chroot -d 'The root directory of the workers if started as root [default: an empty one]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l control -d 'The control socket, on which "on", "off" and "status" connect to this daemon' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand serve" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand serve" -s t -d 'Only check the configuration, as "maintd check" does'
complete -c maintd -n "__fish_maintd_using_subcommand serve" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand serve" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand check" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l listen -d 'Listen for HTTP on PORT of all addresses, ADDR:PORT, [ADDR]:PORT or unix:PATH; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand check" -l tls-listen -d 'Listen for HTTPS on such an address; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand check" -l cert -d 'The certificate and its chain, in PEM; may be repeated with another --key (RSA and ECDSA)' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l key -d 'The certificate\'s private key, in PEM' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l page -d 'The page' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l retry-after -d 'The value of Retry-After [default: 300]' -r
complete -c maintd -n "__fish_maintd_using_subcommand check" -l workers -d 'The number of worker processes; "auto" is one for each processor [default: 1]' -r
complete -c maintd -n "__fish_maintd_using_subcommand check" -l user -d 'The user of the workers if started as root, by name or number [default: www or nobody]' -r
complete -c maintd -n "__fish_maintd_using_subcommand check" -l chroot -d 'The root directory of the workers if started as root [default: an empty one]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l control -d 'The control socket, on which "on", "off" and "status" connect to this daemon' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand check" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand check" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand check" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand on" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand on" -l backend -d 'The packet filter [default: that of the system]' -r -f -a "pf\t'pf(4) of OpenBSD and FreeBSD'
nft\t'nftables of Linux'"
complete -c maintd -n "__fish_maintd_using_subcommand on" -l except -d 'Leave this address or network on the live site; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand on" -l for -d 'Announce the end after this time, as in 2h, 90m or 1h30m; maintd does not switch off by itself' -r
complete -c maintd -n "__fish_maintd_using_subcommand on" -l until -d 'Announce this end, as in 21:00 or "2026-11-25 21:00"; maintd does not switch off by itself' -r
complete -c maintd -n "__fish_maintd_using_subcommand on" -l message -d 'Show this message to visitors' -r
complete -c maintd -n "__fish_maintd_using_subcommand on" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand on" -l dry-run -d 'Print the commands with their input, without running them'
complete -c maintd -n "__fish_maintd_using_subcommand on" -l force -d 'Switch on even if visitors may not get the page'
complete -c maintd -n "__fish_maintd_using_subcommand on" -l resume -d 'Switch on again if it was on before a reboot, else do nothing'
complete -c maintd -n "__fish_maintd_using_subcommand on" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand on" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand on" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand off" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand off" -l backend -d 'The packet filter [default: that of the system]' -r -f -a "pf\t'pf(4) of OpenBSD and FreeBSD'
nft\t'nftables of Linux'"
complete -c maintd -n "__fish_maintd_using_subcommand off" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand off" -l dry-run -d 'Print the commands with their input, without running them'
complete -c maintd -n "__fish_maintd_using_subcommand off" -l force -d 'Do not check that the live site accepts connections'
complete -c maintd -n "__fish_maintd_using_subcommand off" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand off" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand off" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand status" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand status" -l backend -d 'The packet filter [default: that of the system]' -r -f -a "pf\t'pf(4) of OpenBSD and FreeBSD'
nft\t'nftables of Linux'"
complete -c maintd -n "__fish_maintd_using_subcommand status" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand status" -l json -d 'Print JSON, described in maintd(8)'
complete -c maintd -n "__fish_maintd_using_subcommand status" -l watch -d 'Show the running daemon\'s numbers, updated every second, until q or Ctrl-C'
complete -c maintd -n "__fish_maintd_using_subcommand status" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand status" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand run" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand run" -l backend -d 'The packet filter [default: that of the system]' -r -f -a "pf\t'pf(4) of OpenBSD and FreeBSD'
nft\t'nftables of Linux'"
complete -c maintd -n "__fish_maintd_using_subcommand run" -l except -d 'Leave this address or network on the live site; may be repeated' -r
complete -c maintd -n "__fish_maintd_using_subcommand run" -l for -d 'Announce the end after this time, as in 2h, 90m or 1h30m; maintd does not switch off by itself' -r
complete -c maintd -n "__fish_maintd_using_subcommand run" -l until -d 'Announce this end, as in 21:00 or "2026-11-25 21:00"; maintd does not switch off by itself' -r
complete -c maintd -n "__fish_maintd_using_subcommand run" -l message -d 'Show this message to visitors' -r
complete -c maintd -n "__fish_maintd_using_subcommand run" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand run" -l dry-run -d 'Print the commands with their input, without running them'
complete -c maintd -n "__fish_maintd_using_subcommand run" -l force -d 'Switch on even if visitors may not get the page'
complete -c maintd -n "__fish_maintd_using_subcommand run" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand run" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand rules" -s c -l config -d 'Read this configuration, in nginx\'s grammar; flags override it [default: /etc/maintd.conf, if it exists]' -r -F
complete -c maintd -n "__fish_maintd_using_subcommand rules" -l backend -d 'The packet filter [default: that of the system]' -r -f -a "pf\t'pf(4) of OpenBSD and FreeBSD'
nft\t'nftables of Linux'"
complete -c maintd -n "__fish_maintd_using_subcommand rules" -l pf-syntax -d 'The syntax of pf' -r -f -a "openbsd\t'OpenBSD, and FreeBSD from 15'
freebsd14\t'FreeBSD up to 14'"
complete -c maintd -n "__fish_maintd_using_subcommand rules" -l color -d 'Colour messages' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set'
always\t'Always'
never\t'Never'"
complete -c maintd -n "__fish_maintd_using_subcommand rules" -s v -l verbose -d 'Log debug messages'
complete -c maintd -n "__fish_maintd_using_subcommand rules" -s q -l quiet -d 'Log errors only'
complete -c maintd -n "__fish_maintd_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "serve" -d 'Answer every request with the maintenance page'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "check" -d 'Check the configuration, certificates and pages, and report all errors'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "on" -d 'Move visitors to the page'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "off" -d 'Move visitors back to the live site'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "status" -d 'Show whether the switch is on: exit status 0 on, 3 off, 4 partly, 1 unknown'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "run" -d 'Switch on, run a command, and switch off when it ends'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "rules" -d 'Print the rules of the packet filter that the switch needs'
complete -c maintd -n "__fish_maintd_using_subcommand help; and not __fish_seen_subcommand_from serve check on off status run rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

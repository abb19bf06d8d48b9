# What to do about a host that does not answer. $1 its name, $2 user@address, $3 the ranges that SSH is open to there.
advise() {
    own=$(python3 -c 'import socket, sys
family, kind, _, _, address = socket.getaddrinfo(sys.argv[1], 22, type=socket.SOCK_DGRAM)[0]
udp = socket.socket(family, kind)
udp.connect(address)
print(udp.getsockname()[0])' "${2#*@}" 2>/dev/null) || own="not known"
    if [ -n "${QUAYSIDE_JUMP-}" ]; then
        printf '%s\n' "    if no host lets you in: you come by the jump host $QUAYSIDE_JUMP, whose address hosts have to admit"
    else
        printf '%s\n' "    if no host lets you in: this machine's own address is $own (behind NAT, hosts see another one)"
    fi
    printf '%s\n' "    SSH is open to ${3:-what quayside:access.ssh was at the last \`up\`}; hosts learn another range from a machine" \
        "    that they let in: run \`up\` there once, with both ranges in quayside:access.ssh" \
        "    if others let you in and it is dead, declare it down and run again: quayside:capacity: {down: [$1]}"
}

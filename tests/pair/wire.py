"""A bad wire between two interfaces: wire.py ONE OTHER DELAY_MS JITTER_MS LOSS_PERCENT.

What `tc netem` would do, for kernels that were built without it: each frame is dropped with a probability, or comes out on
the other side after a delay of its own, so that frames overtake each other.
"""

import asyncio
import random
import socket
import struct
import sys

# linux/if_packet.h: each frame carries what is left to do for it (checksum, segmentation), for a virtual interface
# leaves that to the receiver.
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_VNET_HDR, PACKET_MR_PROMISC = 263, 1, 15, 1
ETH_P_ALL, PACKET_OUTGOING = 3, 4


def end(name):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    one.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    one.bind((name, ETH_P_ALL))
    promiscuous = struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    one.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous)
    one.setblocking(False)
    return one


def forward(loop, source, target, delay, jitter, loss):
    def put(frame):
        try:
            target.send(frame)
        except OSError:
            pass  # A full queue or a link that is down: one more lost frame.

    def take():
        try:
            frame, address = source.recvfrom(70_000)
        except OSError:
            return
        if address[2] != PACKET_OUTGOING and random.random() >= loss:
            loop.call_later(delay + random.random() * jitter, put, frame)

    loop.add_reader(source, take)


def main(one, other, delay, jitter, loss):
    loop = asyncio.new_event_loop()
    one, other = end(one), end(other)
    for source, target in ((one, other), (other, one)):
        forward(loop, source, target, float(delay) / 1000, float(jitter) / 1000, float(loss) / 100)
    loop.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

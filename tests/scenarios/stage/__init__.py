"""The stage of the scenarios: real programs on free ports, in a directory of their own.

wire      HTTP/1.1 as bytes, read strictly           client    asks, byte by byte where a test wants it
origin    answers as its script says                 daemon    Forebay itself: configuration, log, metrics
clock     moves the daemon's time                    redis     a real Redis that can be stopped and killed
peers     other people's programs: curl, git, npm    certs     an authority and certificates for TLS
"""

"""The one place that speaks HTTP: kept connections, time limits, retries, redirects, authorization.

It knows requests, not images. The rooms, from the bottom up; `client`, `connection`, `reading` and `watchdog` stand on
`socket` and `ssl`, and are imported at the first request:

    errors      what goes wrong, in words; what a server says in the body of a refusal, JSON or a page
    hosts       URLs and origins; who may be insecure, who is behind a proxy, whose certificates count; what a run has
                learnt of a registry
    exchange    settings; a request, the scopes it needs and its body; an answer
    auth        challenges and tokens: who we are to each registry
    watchdog    what waits for a server, which ends with the run
    reading     an answer by RFC 9112, and nothing else
    connection  TCP, the way through a proxy, TLS; bytes within limits of time and speed
    client      one exchange with any host, over kept connections
    refusals    what an answer that is no success means
    transport   a request to a repository: scheme, login, redirects, retries
"""

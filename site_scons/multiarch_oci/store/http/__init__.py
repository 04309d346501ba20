"""The one place that speaks HTTP: kept connections, time limits, retries, redirects, authorization.

It knows requests, not images. The rooms, from the bottom up; `connection` and `pool` stand on `http.client` and `ssl`,
and are imported at the first request:

    complaint   what a server says in the body of a refusal, JSON or a page
    errors      what goes wrong, in words
    hosts       URLs and origins; who may be insecure, who is behind a proxy, whose certificates count
    auth        challenges, scopes, tokens: who we are to each registry
    exchange    settings, a request, an answer
    watchdog    what waits for a server, which ends with the run
    reading     an answer by RFC 9112, and nothing else
    connection  TCP, the way through a proxy, TLS; bytes within limits of time and speed
    pool        the kept connections to one host, and an exchange over one of them
    wire        one HTTP exchange with any host; bodies on their way out
    endpoint    what is learnt about a registry, which URLs are its own, how many requests are under way
    transport   a request to a repository: scheme, login, redirects, retries
"""

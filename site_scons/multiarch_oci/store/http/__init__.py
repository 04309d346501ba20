"""The one place that speaks HTTP: kept connections, time limits, retries, redirects, authorization.

It knows requests, not images. The rooms, from the bottom up; `causes`, `dial` and `pool` stand on `http.client` and
`ssl`, and are imported at the first request:

    page       the first readable line of a page that stands where JSON belongs
    complaint  what a server says in the body of a refusal
    failures   what goes wrong, in words
    address    a URL as where a request goes and what it asks for
    hosts      who may be insecure, who is behind a proxy, whose certificates count
    challenge  what a 401 demands; scopes
    exchange   settings, a request, an answer
    watchdog   what waits for a server, which ends with the run
    channel    bytes over a connection, within limits of time and speed
    reading    an answer by RFC 9112, and nothing else
    causes     what a failure of a connection means
    dial       a connection to a host: TCP, through a proxy, TLS
    pool       the kept connections to one host, and an exchange over one of them
    wire       one HTTP exchange with any host; bodies on their way out
    crowd      how many requests are under way at a host, and a turn for one alone
    endpoint   what is learnt about a registry, and which URLs are its own
    tokens     who we are to each registry
    transport  a request to a repository: scheme, login, redirects, retries
"""

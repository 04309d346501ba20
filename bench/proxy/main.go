// Command proxy stands before a registry and counts: proxy LISTEN UPSTREAM [ROUNDTRIP]. GET /counted answers and starts
// anew. With a round trip (as 50ms) the registry is far away: a connection costs one, and so does every request.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var requests, uploaded, downloaded atomic.Int64

type counted struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// far is a listener whose connections begin a round trip late.
type far struct {
	net.Listener
	trip time.Duration
}

func (f far) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	return &late{Conn: c, trip: f.trip}, err
}

type late struct {
	net.Conn
	trip  time.Duration
	begun sync.Once
}

func (l *late) Read(p []byte) (int, error) {
	l.begun.Do(func() { time.Sleep(l.trip) })
	return l.Conn.Read(p)
}

func main() {
	var trip time.Duration
	if len(os.Args) > 3 {
		var err error
		if trip, err = time.ParseDuration(os.Args[3]); err != nil {
			log.Fatal(err)
		}
	}
	upstream := &url.URL{Scheme: "http", Host: os.Args[2]}
	// The Host of the client stays, so that the registry's Location headers name this proxy.
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host
	}, ModifyResponse: func(r *http.Response) error {
		r.Body = counted{r.Body, &downloaded}
		return nil
	}}
	http.HandleFunc("/counted", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%d %d %d\n", requests.Swap(0), uploaded.Swap(0), downloaded.Swap(0))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		time.Sleep(trip)
		r.Body = counted{r.Body, &uploaded}
		pass.ServeHTTP(w, r)
	})
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(far{listener, trip}, nil))
}

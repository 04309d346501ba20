// Command proxy stands before a registry and counts: proxy LISTEN UPSTREAM. GET /counted answers and starts anew.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
)

var requests, uploaded atomic.Int64

type counted struct{ io.ReadCloser }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	uploaded.Add(int64(n))
	return n, err
}

func main() {
	upstream := &url.URL{Scheme: "http", Host: os.Args[2]}
	// The Host of the client stays, so that the registry's Location headers name this proxy.
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host
	}}
	http.HandleFunc("/counted", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%d %d\n", requests.Swap(0), uploaded.Swap(0))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		r.Body = counted{r.Body}
		pass.ServeHTTP(w, r)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

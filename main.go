// Command demo says which version it is and what it runs on: once, or over HTTP with -serve.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"time"
)

// version is set by the build: -ldflags "-X main.version=…" (see SConstruct).
var version = "unknown"

func greeting() string {
	return fmt.Sprintf("demo %s %s/%s", version, runtime.GOOS, runtime.GOARCH)
}

func main() {
	address := flag.String("serve", "", "answer HTTP at this address, for example :8080")
	flag.Parse()
	if *address == "" {
		fmt.Println(greeting())
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, greeting()) })
	server := &http.Server{Addr: *address, ReadHeaderTimeout: 10 * time.Second}
	log.Printf("%s listens on %s", greeting(), *address)
	if err := server.ListenAndServe(); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

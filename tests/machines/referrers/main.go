// A registry in memory that has the referrers API (OCI distribution spec 1.1), on a free port that it prints.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	api := flag.Bool("api", true, "list what refers to a manifest")
	subject := flag.Bool("subject", false, "answer OCI-Subject to a manifest that names one")
	unknown := flag.Bool("unknown", false, "have no such list (404) of a manifest that nothing refers to")
	etag := flag.Bool("etag", false, "answer ETag, and 412 to a PUT whose If-Match is another one")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	quiet := log.New(io.Discard, "", 0)
	plain := registry.New(registry.WithReferrersSupport(*api), registry.Logger(quiet))
	log.Fatal(http.Serve(listener, &more{next: plain, subject: *subject, unknown: *unknown, etag: *etag}))
}

// What registries do beside what go-containerregistry's does.
type more struct {
	next                   http.Handler
	subject, unknown, etag bool
	writing                sync.Mutex
}

func (m *more) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	kind := path.Base(path.Dir(request.URL.Path))
	if kind != "manifests" && kind != "referrers" {
		m.next.ServeHTTP(response, request)
		return
	}
	var body []byte
	if request.Method == http.MethodPut {
		body, _ = io.ReadAll(request.Body)
		request.Body = io.NopCloser(bytes.NewReader(body))
		m.writing.Lock()
		defer m.writing.Unlock()
		if expected := request.Header.Get("If-Match"); m.etag && expected != "" && expected != m.state(request) {
			http.Error(response, `{"errors":[{"code":"DENIED","message":"not what it was"}]}`, http.StatusPreconditionFailed)
			return
		}
	}
	answer := m.ask(request)
	if kind == "referrers" && m.unknown && len(entries(answer.Body.Bytes())) == 0 {
		http.NotFound(response, request)
		return
	}
	for name, values := range answer.Header() {
		response.Header()[name] = values
	}
	if named := subjectOf(body); m.subject && named != "" && answer.Code == http.StatusCreated {
		response.Header().Set("OCI-Subject", named)
	}
	if digest := answer.Header().Get("Docker-Content-Digest"); m.etag && digest != "" {
		response.Header().Set("ETag", quoted(digest))
	}
	response.WriteHeader(answer.Code)
	io.Copy(response, answer.Body)
}

func (m *more) ask(request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	m.next.ServeHTTP(recorder, request)
	return recorder
}

// What the tag or digest of a request names now, as its ETag says it.
func (m *more) state(request *http.Request) string {
	return quoted(m.ask(httptest.NewRequest(http.MethodHead, request.URL.Path, nil)).Header().Get("Docker-Content-Digest"))
}

func quoted(digest string) string {
	return `"` + digest + `"`
}

func entries(list []byte) []json.RawMessage {
	var index struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	json.Unmarshal(list, &index)
	return index.Manifests
}

func subjectOf(manifest []byte) string {
	var members struct {
		Subject struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	json.Unmarshal(manifest, &members)
	return members.Subject.Digest
}

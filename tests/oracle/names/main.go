// Command names says what the reference implementations make of a name.
//
// It reads JSON lines {"kind": …, "text": …, "wanted": …} and answers one JSON line each:
//
//	reference  github.com/distribution/reference, ParseNormalizedNamed
//	platform   github.com/containerd/platforms, Normalize(Parse(text)) and FormatAll
//	match      github.com/containerd/platforms, Only(wanted).Match(text)
//	host       what a lone operating system or architecture is completed with here
package main

import (
	"bufio"
	// distribution/reference takes every digest for invalid whose algorithm is not linked.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"log"
	"os"
	"runtime"
	"unicode/utf8"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
)

type question struct {
	Kind   string `json:"kind"`
	Text   string `json:"text"`
	Wanted string `json:"wanted"`
}

type answer struct {
	Error string `json:"error,omitempty"`

	Domain   string `json:"domain,omitempty"`
	Path     string `json:"path,omitempty"`
	Tag      string `json:"tag,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Full     string `json:"full,omitempty"`
	Familiar string `json:"familiar,omitempty"`

	Platform  *platforms.Platform `json:"platform,omitempty"`
	Formatted string              `json:"formatted,omitempty"`
	NotUTF8   bool                `json:"not_utf8,omitempty"`
	Match     bool                `json:"match,omitempty"`
}

func onReference(text string) answer {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := answer{
		Domain:   reference.Domain(named),
		Path:     reference.Path(named),
		Full:     named.String(),
		Familiar: reference.FamiliarString(named),
	}
	if tagged, ok := named.(reference.Tagged); ok {
		found.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		found.Digest = digested.Digest().String()
	}
	return found
}

func onPlatform(text string) answer {
	parsed, err := platforms.Parse(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	normal := platforms.Normalize(parsed)
	found := answer{Platform: &normal, Formatted: platforms.FormatAll(normal)}
	found.NotUTF8 = !utf8.ValidString(normal.OSVersion)
	for _, feature := range normal.OSFeatures {
		found.NotUTF8 = found.NotUTF8 || !utf8.ValidString(feature)
	}
	return found
}

func onMatch(text, wanted string) answer {
	image, err := platforms.Parse(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	asked, err := platforms.Parse(wanted)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Match: platforms.Only(asked).Match(image)}
}

func onHost() answer {
	host := platforms.Normalize(platforms.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
	return answer{Platform: &host}
}

func reply(asked question) answer {
	switch asked.Kind {
	case "reference":
		return onReference(asked.Text)
	case "platform":
		return onPlatform(asked.Text)
	case "match":
		return onMatch(asked.Text, asked.Wanted)
	case "host":
		return onHost()
	}
	return answer{Error: "no such kind: " + asked.Kind}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(reply(asked)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

// Command dockerfile answers questions with BuildKit's own libraries: one JSON object a line in, one a line out.
//
// Strings travel as one rune per byte, so that bytes which are not UTF-8 survive JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

type text string

func (t text) MarshalJSON() ([]byte, error) {
	runes := make([]rune, len(t))
	for i := range len(t) {
		runes[i] = rune(t[i])
	}
	return json.Marshal(string(runes))
}

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	var out []byte
	for _, r := range s {
		out = append(out, byte(r))
	}
	*t = text(out)
	return nil
}

func texts(values []string) []text {
	out := make([]text, len(values))
	for i, v := range values {
		out[i] = text(v)
	}
	return out
}

type object map[string]any

type question struct {
	Op      string
	Content text
	Env     map[string]text
	Escape  text
	Name    text
	Paths   []text

	Platform text
	Config   map[string]any
}

type environment map[string]text

func (e environment) Get(key string) (string, bool) {
	value, ok := e[key]
	return string(value), ok
}

func (e environment) Keys() []string { return nil }

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var q question
			if err := json.Unmarshal(line, &q); err != nil {
				panic(err)
			}
			reply, err := json.Marshal(answer(q))
			if err != nil {
				panic(err)
			}
			out.Write(append(reply, '\n'))
			out.Flush()
		}
		if err == io.EOF {
			return
		}
	}
}

func answer(q question) (reply object) {
	defer func() {
		if r := recover(); r != nil {
			reply = object{"error": text(fmt.Sprint("panic: ", r))}
		}
	}()
	var err error
	switch q.Op {
	case "dockerfile":
		reply, err = dockerfile(q)
	case "word", "heredoc":
		reply, err = word(q)
	case "mount":
		reply, err = mount(q)
	case "convert":
		reply, err = convert(q)
	case "walk":
		reply, err = walk(q)
	case "glob":
		var match bool
		match, err = filepath.Match(string(q.Content), string(q.Name))
		reply = object{"match": match}
	default:
		panic("unknown op " + q.Op)
	}
	if err != nil {
		return object{"error": text(err.Error())}
	}
	return reply
}

func word(q question) (object, error) {
	lex := shell.NewLex([]rune(string(q.Escape))[0])
	lex.SkipProcessQuotes = q.Op == "heredoc"
	result, err := lex.ProcessWordWithMatches(string(q.Content), environment(q.Env))
	if err != nil {
		return nil, err
	}
	return object{
		"text": text(result.Result), "words": texts(result.Words),
		"matched": names(result.Matched), "unmatched": names(result.Unmatched),
	}, nil
}

func names(set map[string]struct{}) []text {
	out := []string{}
	for name := range set {
		out = append(out, name)
	}
	sort.Strings(out)
	return texts(out)
}

func mount(q question) (object, error) {
	node := &parser.Node{Value: "run", Flags: []string{"--mount=" + string(q.Content)}, Next: &parser.Node{Value: "x"}}
	command, err := instructions.ParseInstruction(node)
	if err != nil {
		return nil, err
	}
	run := command.(*instructions.RunCommand)
	if err := run.Expand(expander('\\', q.Env)); err != nil {
		return nil, err
	}
	m := instructions.GetMounts(run)[0]
	var env any
	if m.Env != nil {
		env = text(*m.Env)
	}
	return object{
		"type": text(m.Type), "from_": text(m.From), "source": text(m.Source), "target": text(m.Target),
		"readonly": m.ReadOnly, "size": m.SizeLimit, "id": text(m.CacheID), "sharing": text(m.CacheSharing),
		"required": m.Required, "env": env, "mode": m.Mode, "uid": m.UID, "gid": m.GID,
	}, nil
}

func expander(escape rune, env map[string]text) instructions.SingleWordExpander {
	lex := shell.NewLex(escape)
	return func(word string) (string, error) {
		result, _, err := lex.ProcessWord(word, environment(env))
		return result, err
	}
}

func dockerfile(q question) (object, error) {
	content := []byte(q.Content)
	result, err := parser.Parse(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	syntax, _, _, hasSyntax := parser.DetectSyntax(content)
	_, check, _, hasCheck := parser.ParseDirective("check", content)
	nodes := []object{}
	for _, child := range result.AST.Children {
		nodes = append(nodes, node(child, child.StartLine, child.EndLine))
	}
	reply := object{
		"instructions": nodes, "escape": text(string(result.EscapeToken)),
		"syntax": optional(syntax, hasSyntax), "check": optional(check, hasCheck),
	}
	plain, err := stages(result.AST, nil)
	if err != nil {
		reply["stages_error"] = text(err.Error())
		return reply, nil
	}
	reply["stages"] = plain
	expanded, err := stages(result.AST, expander(result.EscapeToken, q.Env))
	if err != nil {
		reply["expanded_error"] = text(err.Error())
		return reply, nil
	}
	reply["expanded"] = expanded
	return reply, nil
}

func optional(value string, there bool) any {
	if !there {
		return nil
	}
	return text(value)
}

func node(n *parser.Node, start, end int) object {
	heredocs := []object{}
	for _, h := range n.Heredocs {
		heredocs = append(heredocs, object{
			"name": text(h.Name), "content": text(h.Content), "expand": h.Expand, "chomp": h.Chomp,
			"descriptor": h.FileDescriptor,
		})
	}
	var trigger any
	arguments := []string{}
	for next := n.Next; next != nil; next = next.Next {
		if len(next.Children) == 0 {
			arguments = append(arguments, next.Value)
			continue
		}
		child := node(next.Children[0], start, end)
		trigger = child
		arguments = append(arguments, next.Children[0].Value)
		for _, argument := range child["arguments"].([]text) {
			arguments = append(arguments, string(argument))
		}
	}
	return object{
		"keyword": text(n.Value), "arguments": texts(arguments), "flags": texts(n.Flags), "heredocs": heredocs,
		"json": n.Attributes["json"], "original": text(n.Original), "line": start, "end_line": end, "trigger": trigger,
	}
}

func stages(ast *parser.Node, expand instructions.SingleWordExpander) ([]object, error) {
	found, before, err := instructions.Parse(ast, linter.New(&linter.Config{}))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("dockerfile contains no stages to build") // as dockerfile2llb says
	}
	out := []object{}
	for i := range before {
		described, err := command(&before[i], expand)
		if err != nil {
			return nil, err
		}
		out = append(out, described)
	}
	for _, stage := range found {
		commands := []object{}
		for _, each := range stage.Commands {
			described, err := command(each, expand)
			if err != nil {
				return nil, err
			}
			commands = append(commands, described)
		}
		out = append(out, object{
			"kind": "Stage", "name": text(stage.Name), "base": text(stage.BaseName), "platform": text(stage.Platform),
			"original": text(stage.SourceCode), "instructions": commands,
			"line": stage.Location[0].Start.Line, "end_line": stage.Location[len(stage.Location)-1].Start.Line,
		})
	}
	return out, nil
}

func command(c instructions.Command, expand instructions.SingleWordExpander) (object, error) {
	if expandable, ok := c.(instructions.SupportsSingleWordExpansion); ok && expand != nil {
		if _, run := c.(*instructions.RunCommand); !run {
			if err := expandable.Expand(expand); err != nil {
				return nil, err
			}
		}
	}
	out := describe(c)
	out["original"] = text(c.(fmt.Stringer).String())
	out["line"] = c.Location()[0].Start.Line
	out["end_line"] = c.Location()[len(c.Location())-1].Start.Line
	return out, nil
}

func describe(c instructions.Command) object {
	switch c := c.(type) {
	case *instructions.EnvCommand:
		return object{"kind": "Env", "pairs": pairs(c.Env)}
	case *instructions.LabelCommand:
		return object{"kind": "Label", "pairs": pairs(c.Labels)}
	case *instructions.ArgCommand:
		arguments := []object{}
		for _, a := range c.Args {
			var value any
			if a.Value != nil {
				value = text(*a.Value)
			}
			arguments = append(arguments, object{"name": text(a.Key), "value": value})
		}
		return object{"kind": "Arg", "arguments": arguments}
	case *instructions.CopyCommand:
		return object{
			"kind": "Copy", "sources": texts(c.SourcePaths), "contents": contents(c.SourceContents),
			"destination": text(c.DestPath), "from_": text(c.From), "chown": text(c.Chown), "chmod": text(c.Chmod),
			"link": c.Link, "parents": c.Parents, "exclude": texts(c.ExcludePatterns),
		}
	case *instructions.AddCommand:
		return object{
			"kind": "Add", "sources": texts(c.SourcePaths), "contents": contents(c.SourceContents),
			"destination": text(c.DestPath), "chown": text(c.Chown), "chmod": text(c.Chmod), "link": c.Link,
			"exclude": texts(c.ExcludePatterns), "keep_git_dir": c.KeepGitDir, "checksum": text(c.Checksum),
			"unpack": c.Unpack,
		}
	case *instructions.RunCommand:
		files := []object{}
		for _, f := range c.Files {
			files = append(files, object{"name": text(f.Name), "content": text(f.Data), "chomp": f.Chomp})
		}
		return object{
			"kind": "Run", "arguments": texts(c.CmdLine), "shell_form": c.PrependShell, "files": files,
			"network": text(instructions.GetNetwork(c)), "security": text(instructions.GetSecurity(c)),
			"mounts": len(instructions.GetMounts(c)), "devices": len(instructions.GetDevices(c)),
		}
	case *instructions.CmdCommand:
		return object{"kind": "Cmd", "arguments": texts(c.CmdLine), "shell_form": c.PrependShell}
	case *instructions.EntrypointCommand:
		return object{"kind": "Entrypoint", "arguments": texts(c.CmdLine), "shell_form": c.PrependShell}
	case *instructions.ShellCommand:
		return object{"kind": "Shell", "arguments": texts(c.Shell)}
	case *instructions.WorkdirCommand:
		return object{"kind": "Workdir", "path": text(c.Path)}
	case *instructions.UserCommand:
		return object{"kind": "User", "user": text(c.User)}
	case *instructions.ExposeCommand:
		return object{"kind": "Expose", "ports": texts(c.Ports)}
	case *instructions.VolumeCommand:
		return object{"kind": "Volume", "volumes": texts(c.Volumes)}
	case *instructions.StopSignalCommand:
		return object{"kind": "StopSignal", "signal": text(c.Signal)}
	case *instructions.MaintainerCommand:
		return object{"kind": "Maintainer", "maintainer": text(c.Maintainer)}
	case *instructions.OnbuildCommand:
		return object{"kind": "Onbuild", "expression": text(c.Expression)}
	case *instructions.HealthCheckCommand:
		h := c.Health
		return object{
			"kind": "Healthcheck", "test": texts(h.Test), "interval": h.Interval, "timeout": h.Timeout,
			"start_period": h.StartPeriod, "start_interval": h.StartInterval, "retries": h.Retries,
		}
	}
	panic(fmt.Sprintf("unknown command %T", c))
}

func pairs(given instructions.KeyValuePairs) []object {
	out := []object{}
	for _, p := range given {
		out = append(out, object{"name": text(p.Key), "value": text(p.Value), "legacy": p.NoDelim})
	}
	return out
}

func contents(given []instructions.SourceContent) []object {
	out := []object{}
	for _, c := range given {
		out = append(out, object{"path": text(c.Path), "content": text(c.Data), "expand": c.Expand})
	}
	return out
}

// tree is a file system in memory: sorted paths, of which those that end in a slash are folders.
type tree []text

func (t tree) Open(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }

func (t tree) Walk(_ context.Context, _ string, fn fs.WalkDirFunc) error {
	skipped := ""
	for _, entry := range t {
		path, folder := strings.CutSuffix(string(entry), "/")
		if skipped != "" && strings.HasPrefix(path, skipped) {
			continue
		}
		mode := uint32(0o644)
		if folder {
			mode = uint32(fs.ModeDir | 0o755)
		}
		err := fn(path, &fsutil.DirEntryInfo{Stat: &types.Stat{Path: path, Mode: mode}}, nil)
		if err == filepath.SkipDir {
			if !folder {
				return fmt.Errorf("a file cannot be skipped: %s", path)
			}
			skipped = path + "/"
		} else if err != nil {
			return err
		}
	}
	return nil
}

func walk(q question) (object, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(string(q.Content)))
	if err != nil {
		return nil, err
	}
	filtered, err := fsutil.NewFilterFS(tree(q.Paths), &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		return nil, err
	}
	kept := []string{}
	err = filtered.Walk(context.Background(), "", func(path string, _ fs.DirEntry, err error) error {
		kept = append(kept, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	return object{"kept": texts(kept)}, nil
}

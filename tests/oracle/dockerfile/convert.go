package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// images answers for every image name with one config, and remembers what was asked.
type images struct {
	sync.Mutex
	config map[string]any
	asked  map[string]bool
}

func (m *images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	platform := *opt.ImageOpt.Platform
	m.Lock()
	defer m.Unlock()
	m.asked[ref+" "+platforms.FormatAll(platform)] = true
	config := map[string]any{
		"os": platform.OS, "architecture": platform.Architecture, "variant": platform.Variant,
		"os.version": platform.OSVersion, "config": m.config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{string(digest.FromString("layer"))}},
	}
	content, err := json.Marshal(config)
	return ref, digest.FromBytes(content), content, err
}

// convert gives what BuildKit's frontend makes of a Dockerfile: the config, the images and the paths of the context.
func convert(q question) (object, error) {
	target, err := platforms.Parse(string(q.Platform))
	if err != nil {
		return nil, err
	}
	arguments := map[string]string{}
	for name, value := range q.Env {
		arguments[name] = string(value)
	}
	known := &images{config: q.Config, asked: map[string]bool{}}
	caps := pb.Caps.CapSet(pb.Caps.All())
	result, err := dockerfile2llb.Dockerfile2LLB(context.Background(), []byte(q.Content), dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildArgs: arguments, Target: string(q.Name), BuildPlatforms: []ocispecs.Platform{target}},
		TargetPlatform: &target, MetaResolver: known, LLBCaps: &caps,
	})
	if err != nil {
		return nil, err
	}
	image, err := json.Marshal(result.Image)
	if err != nil {
		return nil, err
	}
	definition, err := result.State.Marshal(context.Background(), llb.Platform(target))
	if err != nil {
		return nil, err
	}
	taken, err := sources(definition)
	if err != nil {
		return nil, err
	}
	asked := []string{}
	for each := range known.asked {
		asked = append(asked, each)
	}
	sort.Strings(asked)
	return object{"image": text(image), "images": texts(asked), "taken": taken}, nil
}

// sources are the paths of the context that a build takes; "/" is all of it.
func sources(definition *llb.Definition) ([]text, error) {
	taken := []string{}
	for _, content := range definition.Def {
		var op pb.Op
		if err := op.UnmarshalVT(content); err != nil {
			return nil, err
		}
		source := op.GetSource()
		if source == nil || !strings.HasPrefix(source.Identifier, "local://") {
			continue
		}
		follow, there := source.Attrs[pb.AttrFollowPaths]
		if !there {
			taken = append(taken, "/")
			continue
		}
		var paths []string
		if err := json.Unmarshal([]byte(follow), &paths); err != nil {
			return nil, fmt.Errorf("follow paths: %w", err)
		}
		taken = append(taken, paths...)
	}
	sort.Strings(taken)
	return texts(taken), nil
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// publish puts one module at a revision into the proxy, in the layout that the go command asks for
// (https://go.dev/ref/mod#goproxy-protocol).
func (r *release) publish(m moduleOfTree, revision string) error {
	escaped, err := module.EscapePath(m.path)
	if err != nil {
		return err
	}
	folder := filepath.Join(r.proxy(), filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": r.version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	mod, err := output(r.folder(m), nil, "git", "show", revision+":./go.mod")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"list": r.version + "\n", r.version + ".info": string(info), r.version + ".mod": mod + "\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	file, err := os.Create(filepath.Join(folder, r.version+".zip"))
	if err != nil {
		return err
	}
	defer file.Close()
	version := module.Version{Path: m.path, Version: r.version}
	if err := zip.CreateFromVCS(file, version, r.tree, revision, m.folder); err != nil {
		return err
	}
	return file.Close()
}

// environment has the go command find the release in the proxy alone, and everything else where it
// is found otherwise, without a workspace. The modules of the release go into a cache of their own.
func (r *release) environment() []string {
	cache, err := output(".", nil, "go", "env", "GOMODCACHE")
	if err != nil {
		cache = ""
	}
	upstream, err := output(".", nil, "go", "env", "GOPROXY")
	if err != nil {
		upstream = "off"
	}
	return []string{
		"GOWORK=off", "GOFLAGS=-modcacherw", "GOMODCACHE=" + filepath.Join(r.out, "cache"), "GOBIN=" + r.bin(),
		"GONOSUMDB=" + root + "," + root + "/*",
		fmt.Sprintf("GOPROXY=file://%s,file://%s/cache/download,%s", r.proxy(), filepath.ToSlash(cache), upstream),
	}
}

func (r *release) bin() string { return filepath.Join(r.out, "bin") }

package main

import (
	"debug/buildinfo"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// outside is a program over the root module and those with a part of their own in it.
//
//go:embed outside.txt
var outside string

// proveSums loads every module as the tags have it, with the sums that are committed. It forgets what
// was published before the tags.
func (r *release) proveSums() error {
	for _, below := range []string{"", "cache/download"} {
		folder := filepath.Join(r.out, "cache", filepath.FromSlash(below), "github.com", "sessiontrack")
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	for _, m := range r.modules {
		if _, err := output(r.folder(m), r.environment(), "go", "list", "-mod=readonly", "-deps", "./..."); err != nil {
			return err
		}
	}
	return nil
}

// proveOutside makes a module outside of the tree that requires every module by its version, builds
// it and runs it.
func (r *release) proveOutside() error {
	folder := filepath.Join(r.out, "outside")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	var others strings.Builder
	others.WriteString("package main\n\nimport (\n")
	get := []string{"get"}
	for _, m := range r.modules {
		get = append(get, m.path+"@"+r.version)
		if !strings.HasPrefix(m.folder, "cmd/") && m.folder != "examples" { // those are programs
			fmt.Fprintf(&others, "\t_ %q\n", m.path)
		}
	}
	others.WriteString(")\n")
	for name, text := range map[string]string{
		"go.mod": "module outside.example\n\ngo 1.26.0\n", "main.go": outside, "others.go": others.String(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	environment := r.environment()
	for _, arguments := range [][]string{get, {"mod", "tidy"}, {"build", "-o", "outside", "."}} {
		if _, err := output(folder, environment, "go", arguments...); err != nil {
			return err
		}
	}
	if mod, err := os.ReadFile(filepath.Join(folder, "go.mod")); err != nil || strings.Contains(string(mod), "replace") {
		return fmt.Errorf("the program outside replaces something: %s, %v", mod, err)
	}
	said, err := output(folder, nil, filepath.Join(folder, "outside"))
	if err != nil {
		return err
	}
	fmt.Println("  ", strings.ReplaceAll(said, "\n", "\n   "))
	return nil
}

// proveInstall installs the command by its version, and asks it which one it is.
func (r *release) proveInstall() error {
	at := root + "/cmd/sessiontrack@" + r.version
	if _, err := output(r.out, r.environment(), "go", "install", at); err != nil {
		return err
	}
	said, err := output(r.out, nil, r.command(), "version")
	if err != nil {
		return err
	}
	fmt.Println("  ", strings.ReplaceAll(said, "\n", "\n   "))
	if !strings.HasPrefix(said, "sessiontrack "+r.version+" ") {
		return fmt.Errorf("want version %s, got %s", r.version, said)
	}
	return nil
}

func (r *release) command() string { return filepath.Join(r.bin(), "sessiontrack") }

// writeBill writes what the command and the program outside were built of: CycloneDX 1.6, from what
// the go command has put into them.
func (r *release) writeBill() error {
	for name, program := range map[string]string{
		"sessiontrack": r.command(), "modules": filepath.Join(r.out, "outside", "outside"),
	} {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(billOf(info, r.version), "", "  ")
		if err != nil {
			return err
		}
		file := filepath.Join(r.out, name+"-"+r.version+".cdx.json")
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			return err
		}
		fmt.Println("  ", file)
	}
	return nil
}

// bill is a bill of materials (https://cyclonedx.org/docs/1.6/json/).
type bill struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	URL        string     `json:"purl"`
	Reference  string     `json:"bom-ref"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func billOf(info *debug.BuildInfo, version string) bill {
	b := bill{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Components: []component{}}
	b.Metadata.Component = componentOf("application", info.Main.Path, version, "")
	b.Components = append(b.Components, componentOf("library", "std", info.GoVersion, ""))
	for _, m := range info.Deps {
		b.Components = append(b.Components, componentOf("library", m.Path, m.Version, m.Sum))
	}
	slices.SortFunc(b.Components, func(x, y component) int { return strings.Compare(x.Name, y.Name) })
	return b
}

func componentOf(kind, path, version, sum string) component {
	url := "pkg:golang/" + path + "@" + version
	c := component{Type: kind, Name: path, Version: version, URL: url, Reference: url}
	if sum != "" {
		c.Properties = []property{{"go:h1", sum}}
	}
	return c
}

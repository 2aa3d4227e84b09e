package caddymodule

import (
	"os/exec"
	"strings"
	"testing"
)

// The layers of the design: a package may import those of lower numbers only.
var layers = map[string]int{
	"workspace": 0, "upstream": 0, "image": 0, "web": 0, "ratelimit": 0,
	"agent/model": 0, "agent/uistream": 0, "agent/approval": 0,
	"bridge": 1, "agent/budget": 1, "identity": 2, "orchestrator": 2, "agent/tools": 2, "agent/mcp": 3,
	"credential": 3, "identity/login": 3, "identity/login/github": 4, "identity/login/oidc": 4, "gateway": 4, "agent": 4,
	"api": 5, "caddymodule": 6, "cmd/kalpana": 7,
}

// aside are packages that nothing but these, tests and the benchmark may import: implementations of interfaces that
// their consumers own.
var aside = map[string]string{
	"store/sqlite": "caddymodule", "orchestrator/docker": "caddymodule", "bridge/server": "cmd/kalpana-bridge",
}

func TestDependencies_PointDownOnly(t *testing.T) {
	const module = "github.com/kalpana-dev/kalpana/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		name = strings.TrimPrefix(name, module)
		for imported := range strings.FieldsSeq(imports) {
			if strings.HasPrefix(imported, "github.com/caddyserver/") && name != "caddymodule" && !strings.HasPrefix(name, "cmd/") {
				t.Errorf("%s imports Caddy: %s", name, imported)
			}
			if !strings.HasPrefix(imported, module) {
				continue
			}
			imported = strings.TrimPrefix(imported, module)
			if only, ok := aside[imported]; ok && name != only && name != "bench" && !strings.HasSuffix(name, "test") {
				t.Errorf("%s imports %s, which is for %s", name, imported, only)
			}
			from, ok1 := layers[name]
			to, ok2 := layers[imported]
			if ok1 && ok2 && to >= from {
				t.Errorf("%s imports %s: that arrow points up", name, imported)
			}
		}
	}
}

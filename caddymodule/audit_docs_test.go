package caddymodule

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every action of the audit log is in its reference, and among those that the console has words for.
func TestAuditDocs_NameEveryAction(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	actions := regexp.MustCompile(`(?m)^\tAction\w+ += "([a-z-]+)"`).FindAllStringSubmatch(read("../identity/audit.go"), -1)
	if len(actions) < 20 {
		t.Fatalf("%d actions", len(actions))
	}
	reference, console := read("../docs/reference/audit.md"), read("../web/src/lib/audit.ts")
	for _, a := range actions {
		if !strings.Contains(reference, "`"+a[1]+"`") {
			t.Errorf("docs/reference/audit.md lacks %s", a[1])
		}
		if !regexp.MustCompile(`(?m)^  '?` + a[1] + `'?: '`).MatchString(console) {
			t.Errorf("web/src/lib/audit.ts lacks %s", a[1])
		}
	}
}

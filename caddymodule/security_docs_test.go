package caddymodule

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/security.md says is tested has a test of that name.
func TestSecurityDocs_NameTestsThatAreThere(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") && strings.HasSuffix(path, ".go"):
			source, err := os.ReadFile(path)
			tests.Write(source)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([A-Z]\\w+_\\w*|[A-Z][a-z]*[A-Z]\\w{10,})(…?)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 50 {
		t.Fatalf("only %d names were found", len(names))
	}
	for _, match := range names {
		name := match[1]
		known := strings.Contains(tests.String(), "func "+name+"(") || strings.Contains(tests.String(), `"`+name+`"`)
		if match[2] != "" {
			known = strings.Contains(tests.String(), name)
		}
		if !known {
			t.Errorf("there is no test %s", match[0])
		}
	}
}

package faults

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/test/harness"
)

var (
	testNamed = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	testFunc  = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

func TestTable_NamesTestsThatExistAndAllOfThisPackage(t *testing.T) {
	root := harness.Root()
	table, err := os.ReadFile(filepath.Join(root, "docs", "operations", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range testNamed.FindAllSubmatch(table, -1) {
		named[string(m[1])] = true
	}
	exists := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			name := string(m[1])
			exists[name] = true
			if filepath.Base(filepath.Dir(path)) == "faults" && name != "TestMain" && name != t.Name() && !named[name] {
				t.Errorf("the table lacks %s", name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range named {
		if !exists[name] {
			t.Errorf("the table names %s, which does not exist", name)
		}
	}
}

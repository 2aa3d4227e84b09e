package image

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestTemplates_BlankFirstThenByName(t *testing.T) {
	var names []string
	for _, template := range Templates() {
		names = append(names, template.Name)
	}
	if len(names) < 3 || names[0] != "blank" {
		t.Fatalf("got %v, want blank first and at least three", names)
	}
	for i := 2; i < len(names); i++ {
		if names[i-1] >= names[i] {
			t.Errorf("got %v, want it sorted after blank", names)
		}
	}
}

func TestTemplates_EachIsComplete(t *testing.T) {
	folders, err := filepath.Glob("templates/*")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(Templates()); got != len(folders) {
		t.Errorf("got %d templates in %d folders", got, len(folders))
	}
	for _, folder := range folders {
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			template, ok := Lookup(name)
			if !ok {
				t.Fatal("not found")
			}
			if template.Name != name || template.Title == "" || template.Description == "" {
				t.Errorf("got %+v, want name, title and description", template)
			}
			// A nil slice would be null in the API's answers.
			if template.Ports == nil || template.Extensions == nil {
				t.Errorf("got %+v, want ports and extensions, empty or not", template)
			}
			for _, port := range template.Ports {
				if port < 1 || port > 65535 || port == 8080 || port == 3001 {
					t.Errorf("port %d is out of range or the workspace's own", port)
				}
			}
			text, err := os.ReadFile(filepath.Join(folder, "template.json"))
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(new(Template)); err != nil {
				t.Error(err)
			}
			if seeds, err := os.ReadDir(filepath.Join(folder, "files")); err != nil || len(seeds) == 0 {
				t.Errorf("got %d files to start from (%v), want at least one", len(seeds), err)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"blank", "node", "python"} {
		if _, ok := Lookup(name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"", ".", "..", "Blank", "no-such", "blank/files"} {
		if got, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) = %+v, want nothing", name, got)
		}
	}
}

func TestTemplates_CallerOwnsTheAnswer(t *testing.T) {
	node, _ := Lookup("node")
	node.Ports[0] = 1
	Templates()[0].Name = "changed"
	if again, _ := Lookup("node"); again.Ports[0] == 1 || Templates()[0].Name != "blank" {
		t.Error("a change to one answer shows in the next")
	}
}

// Package image knows what the workspace image offers: the templates that a new workspace can start from.
// The image itself is built by build.sh; it holds each template's files in /usr/share/kalpana/templates.
package image

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

// Template is what a new workspace starts from.
type Template struct {
	// Name is the folder's name, and what the API and KALPANA_TEMPLATE call it.
	Name string `json:"name"`
	// Title is what people see.
	Title string `json:"title"`
	// Description is one sentence.
	Description string `json:"description"`
	// Ports are those its program listens on, to be offered as previews.
	Ports []int `json:"ports"`
	// Extensions are VS Code extension IDs to install.
	Extensions []string `json:"extensions"`
}

// defaultName is the template that comes first.
const defaultName = "blank"

//go:embed templates/*/template.json
var files embed.FS

var load = sync.OnceValue(func() []Template {
	templates, err := parse()
	if err != nil {
		// The files are part of the program, and a test reads each.
		panic(err)
	}
	return templates
})

func parse() ([]Template, error) {
	folders, err := files.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	templates := make([]Template, 0, len(folders))
	for _, folder := range folders {
		name := path.Join("templates", folder.Name(), "template.json")
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var t Template
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if t.Name != folder.Name() {
			return nil, fmt.Errorf("%s: its name is %q", name, t.Name)
		}
		templates = append(templates, t)
	}
	slices.SortFunc(templates, func(a, b Template) int {
		if (a.Name == defaultName) != (b.Name == defaultName) {
			if a.Name == defaultName {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return templates, nil
}

// Templates returns all templates, blank first, the others by name. The caller owns the slice.
func Templates() []Template {
	templates := slices.Clone(load())
	for i := range templates {
		templates[i] = templates[i].clone()
	}
	return templates
}

// Lookup returns the template of that name.
func Lookup(name string) (Template, bool) {
	for _, t := range load() {
		if t.Name == name {
			return t.clone(), true
		}
	}
	return Template{}, false
}

func (t Template) clone() Template {
	t.Ports = slices.Clone(t.Ports)
	t.Extensions = slices.Clone(t.Extensions)
	return t
}

package server

import (
	"context"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/kalpana-dev/kalpana/bridge"
)

// editFile replaces exact texts in a file, all of them or none.
func (f folder) editFile(_ context.Context, p bridge.EditFileParams) (*bridge.EditFileResult, error) {
	switch {
	case p.Path == "" || strings.HasSuffix(p.Path, "/"):
		return nil, bridge.ErrInvalid.With("the path names no file")
	case len(p.Edits) == 0:
		return nil, bridge.ErrInvalid.With("no edits")
	case len(p.Edits) > bridge.MaxEdits:
		return nil, bridge.ErrTooLarge.With("at most %d edits at a time", bridge.MaxEdits)
	}
	root, rel, err := f.locate(p.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	mode, err := writeTarget(root, rel)
	if err != nil {
		return nil, err
	}
	file, info, err := openAny(root, rel)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := regular(info); err != nil {
		return nil, err
	}
	if info.Size() > bridge.MaxContent {
		return nil, bridge.ErrTooLarge.With("a file of at most %d bytes can be edited", bridge.MaxContent)
	}
	raw, err := io.ReadAll(io.NewSectionReader(file, 0, bridge.MaxContent))
	if err != nil {
		return nil, fileError(err)
	}
	before := string(raw)
	if !utf8.ValidString(before) {
		return nil, bridge.ErrInvalid.With("this is not a text file")
	}
	// The file as it was read here, whatever was said of it, is what the edits are for.
	version := versionOfContent(raw)
	if p.IfVersion != "" && p.IfVersion != version {
		return nil, bridge.ErrChanged
	}
	after, replaced, err := apply(before, p.Edits)
	if err != nil {
		return nil, err
	}
	if err := unchanged(root, rel, version); err != nil {
		return nil, err
	}
	if err := replace(root, rel, []byte(after), mode); err != nil {
		return nil, fileError(err)
	}
	result := &bridge.EditFileResult{Replaced: replaced, Size: int64(len(after)), Version: versionOfContent([]byte(after))}
	if diff := udiff.Unified("a/"+rel, "b/"+rel, before, after); len(diff) <= bridge.MaxDiff {
		result.Diff = diff
	}
	return result, nil
}

// apply makes the edits in text, one after the other.
func apply(text string, edits []bridge.Edit) (after string, replaced int, err error) {
	for i, e := range edits {
		n := strings.Count(text, e.Old)
		switch {
		case e.Old == "":
			return "", 0, bridge.ErrInvalid.With("edit %d: no old text", i+1)
		case e.Old == e.New:
			return "", 0, bridge.ErrInvalid.With("edit %d changes nothing", i+1)
		case !utf8.ValidString(e.New):
			return "", 0, bridge.ErrInvalid.With("edit %d: the new text is not UTF-8", i+1)
		case n == 0:
			return "", 0, bridge.ErrInvalid.With("edit %d: the old text does not occur; it must be what the file holds, to the last space", i+1)
		case n > 1 && !e.All:
			return "", 0, bridge.ErrInvalid.With("edit %d: the old text occurs %d times; give more of what is around it, or change all", i+1, n)
		case len(text)+n*(len(e.New)-len(e.Old)) > bridge.MaxContent:
			return "", 0, bridge.ErrTooLarge.With("edit %d makes the file longer than %d bytes", i+1, bridge.MaxContent)
		}
		text = strings.ReplaceAll(text, e.Old, e.New)
		replaced += n
	}
	return text, replaced, nil
}

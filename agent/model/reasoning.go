package model

import (
	"encoding/json"
	"strings"
)

// block is a reasoning detail that comes in pieces.
type block struct {
	kind, index, id string
	fields          map[string]json.RawMessage
	texts           map[string]*assembled // its fields that grow
}

const encrypted = "reasoning.encrypted"

// takeDetail takes in a piece of reasoning_details, and returns what of it people may read. Pieces belong together by
// their index and type; the signature may come in one of its own.
func (a *answer) takeDetail(raw json.RawMessage) (piece, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return nil, nil // not an object: nothing to send back
	}
	kind, id := stringOf(fields["type"]), stringOf(fields["id"])
	b := a.blockOf(kind, string(fields["index"]), id)
	if b == nil {
		if len(a.blocks) == maxBlocks {
			return nil, errTooMuch
		}
		b = &block{kind: kind, index: string(fields["index"]), fields: map[string]json.RawMessage{}, texts: map[string]*assembled{}}
		a.blocks = append(a.blocks, b)
	}
	if id != "" {
		b.id = id
	}
	var shown piece
	for name, value := range fields {
		var text piece
		grows := name == "text" || name == "summary"
		if grows && json.Unmarshal(value, &text) == nil && len(value) > 0 && value[0] == '"' {
			shown = append(shown, text...)
			if b.texts[name] == nil {
				b.texts[name] = new(assembled)
			}
			b.texts[name].add(text)
			continue
		}
		if old, ok := b.fields[name]; !ok || string(value) != "null" || string(old) == "null" {
			b.fields[name] = value
		}
	}
	return shown, nil
}

// blockOf returns the block that a piece belongs to, or nil.
func (a *answer) blockOf(kind, index, id string) *block {
	for i := len(a.blocks) - 1; i >= 0; i-- {
		b := a.blocks[i]
		switch {
		case b.kind != kind || b.index != index || id != "" && b.id != "" && b.id != id:
		case kind == encrypted: // each is whole
		case index == "" && i < len(a.blocks)-1: // without an index only the last can go on
		default:
			return b
		}
	}
	return nil
}

// encode returns the detail as the provider wants it back.
func (b *block) encode() json.RawMessage {
	for name, text := range b.texts {
		text.end()
		b.fields[name], _ = json.Marshal(text.String())
	}
	raw, err := json.Marshal(b.fields)
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

func stringOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.Clone(s)
}

package model

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func TestDecimal_MoneyIsReckonedWithoutFaults(t *testing.T) {
	for _, test := range []struct {
		json   string
		places int
		want   int64
	}{
		{`0.00142500`, 6, 1425},
		{`0.1`, 6, 100_000},
		{`0.3`, 6, 300_000},
		{`4.35`, 6, 4_350_000},
		{`1.005`, 2, 101},
		{`1.2e-05`, 6, 12},
		{`1.25E-7`, 6, 0},
		{`5e-7`, 6, 1},
		{`0.0000004999`, 6, 0},
		{`12`, 0, 12},
		{`12.0`, 0, 12},
		{`1e3`, 0, 1000},
		{`"0.000003"`, 12, 3_000_000},
		{`"0.00000125"`, 12, 1_250_000},
		{`"-1"`, 12, 0},
		{`-0.5`, 6, 0},
		{`null`, 6, 0},
		{`"NaN"`, 6, 0},
		{`"1e"`, 6, 1_000_000},
		{`""`, 6, 0},
		{`"."`, 6, 0},
		{`"1.2.3"`, 6, 0},
		{`"e5"`, 6, 0},
		{`{}`, 6, 0},
		{`1e999999999999999999999`, 6, math.MaxInt64},
		{`0e999999999999999999999`, 6, 0},
		{`1e-999999999999999999999`, 6, 0},
		{`99999999999999999999`, 0, math.MaxInt64},
		{`9223372036854775807`, 0, math.MaxInt64},
		{`9223372036854775806.5`, 0, math.MaxInt64},
	} {
		var d decimal
		if err := json.Unmarshal([]byte(test.json), &d); err != nil {
			t.Fatal(err)
		}
		if got := d.scaled(test.places); got != test.want {
			t.Errorf("%s times 10^%d is %d, want %d", test.json, test.places, got, test.want)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0.000013", "1e-5", "-1", "1.7e308", ".", "e", "1e+"} {
		f.Add(s, 6)
	}
	f.Fuzz(func(t *testing.T, s string, places int) {
		if places < 0 || places > 12 {
			return
		}
		var d decimal
		_ = d.UnmarshalJSON([]byte(s))
		if d.scaled(places) < 0 {
			t.Errorf("%s is negative", s)
		}
	})
}

func TestUsage_TheKeyAtTheProviderBehindCostsToo(t *testing.T) {
	u, ok := parseUsage(json.RawMessage(`{"prompt_tokens":10,"completion_tokens":2,"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}}`))
	if !ok || u.Cost != 21_000 {
		t.Errorf("it is %+v", u)
	}
	u, ok = parseUsage(json.RawMessage(`{"prompt_tokens":1e300,"completion_tokens":-4,"cost":1e300}`))
	if !ok || u.Input != maxUsed || u.Output != 0 || u.Cost != maxUsed {
		t.Errorf("what cannot be is %+v", u)
	}
}

// FuzzJoiner: however a text is cut, by bytes or by UTF-16 units, it is itself again.
func FuzzJoiner(f *testing.F) {
	f.Add("Grüße, 世界 👩‍💻\n\"\\", uint8(1), false)
	f.Add("👩‍💻🏳️‍🌈", uint8(2), true)
	f.Fuzz(func(t *testing.T, text string, size uint8, units bool) {
		if size == 0 || !utf8.ValidString(text) || len(text) > 1<<12 {
			return
		}
		var encoded []string // JSON strings
		if units {
			all := utf16.Encode([]rune(text))
			for len(all) > 0 {
				var b strings.Builder
				for _, unit := range all[:min(int(size), len(all))] {
					b.WriteString(`\u`)
					for shift := 12; shift >= 0; shift -= 4 {
						b.WriteByte("0123456789abcdef"[unit>>shift&15])
					}
				}
				encoded = append(encoded, `"`+b.String()+`"`)
				all = all[min(int(size), len(all)):]
			}
		} else {
			for rest := text; len(rest) > 0; rest = rest[min(int(size), len(rest)):] {
				encoded = append(encoded, quoteBytes(rest[:min(int(size), len(rest))]))
			}
		}
		var joined assembled
		for _, one := range encoded {
			var p piece
			if err := json.Unmarshal([]byte(one), &p); err != nil {
				t.Fatalf("%q: %v", one, err)
			}
			if shown := joined.add(p); !utf8.ValidString(shown) {
				t.Fatalf("shown is %q", shown)
			}
		}
		joined.end()
		if joined.String() != text {
			t.Errorf("%q has become %q", text, joined.String())
		}
	})
}

func quoteBytes(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c < 0x20:
			b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// FuzzPiece: whatever a server sends, what is shown is UTF-8, and a text that is well formed is what the library makes of it.
func FuzzPiece(f *testing.F) {
	for _, s := range []string{`"a"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00x"`, "\"\xed\xa0\xbd\xed\xb8\x80\"", "\"\xf0\x9f\"", `[{"text":"a"},{"text":"b"}]`, `null`, `5`} {
		f.Add([]byte(s), []byte(`"\udc00 rest"`))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var joined assembled
		for _, raw := range [][]byte{first, second} {
			if !json.Valid(raw) {
				return
			}
			var p piece
			if err := json.Unmarshal(raw, &p); err != nil {
				t.Fatal(err)
			}
			if shown := joined.add(p); !utf8.ValidString(shown) {
				t.Fatalf("shown is %q", shown)
			}
			var want string
			if len(joined.joiner.rest) == 0 && utf8.Valid(p) && json.Unmarshal(raw, &want) == nil && want != string(p) && raw[0] == '"' {
				t.Errorf("%s is %q, want %q", raw, p, want)
			}
		}
		joined.end()
		if !utf8.ValidString(joined.String()) {
			t.Errorf("it is %q", joined.String())
		}
	})
}

// FuzzAnswer: no event that a server may send takes the client down.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"id":"x","model":"m","choices":[{"delta":{"content":"a","reasoning":"b","reasoning_details":[{"type":"reasoning.text","text":"c","index":0}],"tool_calls":[{"index":0,"id":"i","function":{"name":"n","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"cost":1}}`,
		`{"error":null,"choices":null}`, `{"choices":[null]}`, `{"choices":[{"delta":null}]}`, `{"choices":[{"delta":{"reasoning_details":[null,5,"x",{}]}}]}`,
		`{"error":{"code":"x","message":5,"metadata":{"raw":{"error":"y"}}}}`, `{"error":[1]}`,
	} {
		f.Add([]byte(s), []byte(s))
	}
	c, err := New(Config{Key: "key"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r := &Request{Models: []string{"m"}}
		tell := &teller{request: r}
		watch := newWatchdog(1<<40, 1<<40, func() {})
		defer watch.stop()
		a := &answer{emit: func(Delta) {}, watch: watch}
		for _, event := range [][]byte{first, second} {
			if err := a.take(tell, event); err != nil {
				break
			}
		}
		_ = a.done(tell)
		res := c.response(r, a, 10, Usage{})
		if _, err := json.Marshal(res.Message); err != nil {
			t.Error(err)
		}
		if !utf8.ValidString(res.Message.Text) {
			t.Errorf("the text is %q", res.Message.Text)
		}
		if _, err := c.encode(&Request{Models: []string{"m"}, Messages: []Message{res.Message}}); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	data := []byte(`{"id":"gen-1764500000-abcdefghijklmnop","provider":"Anthropic","model":"anthropic/claude-4.5-sonnet-20250929","object":"chat.completion.chunk","created":1764500000,"choices":[{"index":0,"delta":{"role":"assistant","content":" hello there"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}`)
	watch := newWatchdog(1<<40, 1<<40, func() {})
	defer watch.stop()
	a := &answer{emit: func(Delta) {}, watch: watch}
	b.ReportAllocs()
	for b.Loop() {
		a.size, a.text = 0, assembled{}
		if err := a.take(nil, data); err != nil {
			b.Fatal(err)
		}
	}
}

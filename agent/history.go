package agent

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// conversation returns what a model was told in the messages of a chat, since it was last summed up.
func conversation(messages []*message) ([]model.Message, error) {
	from := len(messages)
	for from > 0 {
		from--
		t, err := messages[from].told()
		if err != nil {
			return nil, err
		}
		if t.Fresh {
			break
		}
	}
	var all []model.Message
	for _, m := range messages[from:] {
		all = append(all, m.turn.Messages...)
	}
	return all, nil
}

// unanswered is what a model is told of a call that has no answer.
const unanswered = "This call was interrupted, and it is not known what it did. Look at the state of things before you repeat it."

// wellFormed returns messages as every provider takes them: each call is answered once, right after the message that
// has it and in its order; there are no other answers, no calls of the same name, and no empty messages. It never
// changes what it is given.
func wellFormed(messages []model.Message) []model.Message {
	whole := make([]model.Message, 0, len(messages))
	seen := map[string]bool{}
	for i := 0; i < len(messages); i++ {
		m := messages[i]
		switch m.Role {
		case model.ToolRole: // an answer to no call before it
			continue
		case model.Assistant:
			calls := make([]model.Call, 0, len(m.Calls))
			for _, c := range m.Calls {
				if c.ID != "" && !seen[c.ID] {
					seen[c.ID] = true
					calls = append(calls, c)
				}
			}
			if m.Calls = calls; len(calls) == 0 {
				m.Calls = nil
				if strings.TrimSpace(m.Text) == "" {
					continue
				}
				whole = append(whole, m)
				continue
			}
			whole = append(whole, m)
			answers := map[string]model.Message{}
			for i+1 < len(messages) && messages[i+1].Role == model.ToolRole {
				i++
				if _, twice := answers[messages[i].CallID]; !twice {
					answers[messages[i].CallID] = messages[i]
				}
			}
			for _, c := range calls {
				a, ok := answers[c.ID]
				if !ok {
					a = model.Message{Role: model.ToolRole, CallID: c.ID, Text: unanswered}
				}
				whole = append(whole, a)
			}
		default:
			if strings.TrimSpace(m.Text) != "" {
				whole = append(whole, m)
			}
		}
	}
	return whole
}

// bytesPerToken is what a token is taken for where nobody has counted: code has about three and a half, so that an
// estimate is rather too high.
const bytesPerToken = 3

// tokens estimates how many tokens messages are.
func tokens(messages []model.Message) int64 {
	size := 0
	for i := range messages {
		m := &messages[i]
		size += len(m.Text) + 12
		for _, c := range m.Calls {
			size += len(c.Name) + len(c.Arguments) + 12
		}
		for _, r := range m.Reasoning {
			size += len(r)
		}
	}
	return int64(size) / bytesPerToken
}

// toolTokens estimates what the descriptions of tools are.
func toolTokens(offered []model.Tool) int64 {
	size := 0
	for _, t := range offered {
		size += len(t.Name) + len(t.Description) + len(t.Parameters) + 12
	}
	return int64(size) / bytesPerToken
}

// headTail shortens a text to at most limit bytes: two thirds of what is kept are its head, one third its tail.
func headTail(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "\n\n[… cut here: the middle is left out. Ask for less, or for the part that you need. …]\n\n"
	keep := max(0, limit-len(mark))
	head, tail := keep*2/3, keep-keep*2/3
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	from := len(text) - tail
	for from < len(text) && !utf8.RuneStart(text[from]) {
		from++
	}
	return text[:head] + mark + text[from:]
}

// maxTurn bounds what is stored of the model's messages of one message of a chat, in bytes: with the message itself
// it is less than the store takes.
const maxTurn = 3 << 20

// leftOut stands for arguments that were too long to be kept.
const leftOut = `{"leftOut":"it was long"}`

// shortened returns messages that are at most limit bytes as JSON, about: of the longest texts, the oldest first, the
// middle is left out. The last messages are kept as they are while that suffices.
func shortened(messages []model.Message, limit int) []model.Message {
	size := 0
	for i := range messages {
		size += messageSize(&messages[i])
	}
	if size <= limit {
		return messages
	}
	short := append([]model.Message(nil), messages...)
	for _, most := range []int{16 << 10, 2 << 10, 200} {
		for i := range short {
			if size <= limit {
				return short
			}
			m := &short[i]
			size -= messageSize(m)
			m.Text = headTail(m.Text, most)
			m.Calls = append([]model.Call(nil), m.Calls...)
			for j := range m.Calls {
				if len(m.Calls[j].Arguments) > most {
					m.Calls[j].Arguments = leftOut
				}
			}
			m.Reasoning = nil
			size += messageSize(m)
		}
	}
	return short
}

func messageSize(m *model.Message) int {
	text, _ := json.Marshal(m)
	return len(text)
}

// shortenedUI returns a message that is at most limit bytes as JSON, about: of the longest texts and outputs, the oldest
// first, the middle is left out.
func shortenedUI(m uistream.Message, limit int) uistream.Message {
	size := 0
	sizes := make([]int, len(m.Parts))
	for i := range m.Parts {
		text, _ := encodeJSON(m.Parts[i])
		sizes[i] = len(text)
		size += len(text)
	}
	for i := range m.Parts {
		p := &m.Parts[i]
		if size <= limit || sizes[i] < 2<<10 {
			continue
		}
		if p.Text != nil {
			text := headTail(*p.Text, 1<<10)
			p.Text = &text
		}
		for _, long := range []*json.RawMessage{&p.Input, &p.Output, &p.Data} {
			if len(*long) > 1<<10 {
				*long = json.RawMessage(leftOut)
			}
		}
		p.RawInput, p.ErrorText = headTail(p.RawInput, 1<<10), headTail(p.ErrorText, 1<<10)
		text, _ := encodeJSON(*p)
		size += len(text) - sizes[i]
	}
	return m
}

package uistream_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/uistream"
)

func post(t testing.TB, body string) *uistream.Post {
	t.Helper()
	p, err := uistream.ReadPost(strings.NewReader(body), "ask")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPost_AMessageIsItsLastTexts(t *testing.T) {
	p := post(t, `{"workspace":"w","plan":true,"id":"c","messages":[
		{"id":"1","role":"user","parts":[{"type":"text","text":"old"}]},
		{"id":"2","role":"assistant","metadata":{"cost":1},"parts":[{"type":"step-start"},{"type":"tool-ask","toolCallId":"q","state":"output-available","output":"yes"}]},
		{"id":"3","role":"user","parts":[{"type":"text","text":" new\n"},{"type":"data-x","data":1},{"type":"text","text":"newer "}]}
	],"trigger":"submit-message"}`)
	if diff := cmp.Diff([]string{"c", "submit-message", "", "3", "user", "new\n\nnewer"}, []string{p.ID, p.Trigger, p.MessageID, p.LastID, p.LastRole, p.Text}); diff != "" {
		t.Error(diff)
	}
	if len(p.Answers)+len(p.Outputs) != 0 {
		t.Errorf("what was answered before is no answer: %+v %+v", p.Answers, p.Outputs)
	}
	if string(p.More["workspace"]) != `"w"` || string(p.More["plan"]) != "true" || len(p.More) != 2 {
		t.Errorf("%q", p.More)
	}
}

func TestPost_AnswersAreReadAndNothingElseOfAMessageOfTheAssistant(t *testing.T) {
	p := post(t, `{"id":"c","messageId":"2","trigger":"submit-message","messages":[{"id":"2","role":"assistant","parts":[
		{"type":"text","text":"forged"},
		{"type":"tool-ask","toolCallId":"old","state":"output-available","output":"no"},
		{"type":"step-start"},
		{"type":"tool-runCommand","toolCallId":"r","state":"approval-responded","input":{"command":"forged"},"approval":{"id":"a","approved":true,"reason":"always"}},
		{"type":"tool-runCommand","toolCallId":"s","state":"approval-responded","approval":{"id":"b","approved":false}},
		{"type":"tool-runCommand","toolCallId":"u","state":"approval-requested","approval":{"id":"d"}},
		{"type":"tool-runCommand","toolCallId":"v","state":"output-available","output":"forged"},
		{"type":"tool-ask","toolCallId":"q","state":"output-available","input":{},"output":{"answer":"yes"}},
		{"type":"tool-ask","toolCallId":"p","state":"output-error","errorText":"I do not know"},
		{"type":"tool-ask","toolCallId":"o","state":"input-available"}
	]}]}`)
	if diff := cmp.Diff([]uistream.Answer{{ApprovalID: "a", Approved: true, Reason: "always"}, {ApprovalID: "b"}}, p.Answers); diff != "" {
		t.Error(diff)
	}
	got := fmt.Sprintf("%s", p.Outputs)
	if want := `[{q ask {"answer":"yes"}} {p ask "I do not know"}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p.Text != "" || p.MessageID != "2" {
		t.Errorf("%q %q", p.Text, p.MessageID)
	}
}

func TestPost_WhatIsTooLongOrNoneIsSaidInWords(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	user := `{"id":"c","messages":[{"role":"user","parts":[%s]}]}`
	assistant := `{"id":"c","messages":[{"role":"assistant","parts":[%s]}]}`
	for body, want := range map[string]string{
		"":                                     "The request is not the JSON",
		"[]":                                   "The request is not the JSON",
		`{"id":"c","messages":[{"role":"user"`: "The request is not the JSON",
		`{"id":"c","messages":{}}`:             "The request is not the JSON",
		`{"id":7}`:                             "The request is not the JSON",
		fmt.Sprintf(user, `{"type":"text","text":"`+long+`"}`):                                                                             "Your message has 204800 letters or so",
		fmt.Sprintf(user, `{"type":"file","url":"data:,x"}`):                                                                               "The agent takes no attachments.",
		fmt.Sprintf(assistant, `{"type":"tool-x","state":"approval-responded","approval":{"id":"a","approved":true,"reason":"`+long+`"}}`): "The reason that you give",
		fmt.Sprintf(assistant, `{"type":"tool-ask","state":"output-available","output":"`+long+`"}`):                                       "Your answer has more than",
		fmt.Sprintf(assistant, strings.Repeat(`{"type":"tool-x","state":"approval-responded","approval":{"id":"a","approved":true}},`, 64)+
			`{"type":"tool-x","state":"approval-responded","approval":{"id":"a","approved":true}}`): "There are more than 64 answers",
	} {
		_, err := uistream.ReadPost(strings.NewReader(body), "ask")
		var fault *uistream.PostError
		if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80s: %v", body, err)
		}
	}
	broken := errors.New("broken")
	if _, err := uistream.ReadPost(io.MultiReader(strings.NewReader(`{"id":`), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("the reader's error: %v", err)
	}
}

func FuzzPost(f *testing.F) {
	f.Add(`{"id":"c","messages":[{"id":"3","role":"user","parts":[{"type":"text","text":"x"}]}],"trigger":"submit-message","x":1}`)
	f.Add(`{"id":"c","messages":[{"role":"assistant","parts":[{"type":"tool-ask","state":"output-available","toolCallId":"1","output":{}}]}]}`)
	f.Add(`{"messages":null,"id":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := uistream.ReadPost(strings.NewReader(body), "ask")
		if err != nil {
			var fault *uistream.PostError
			if !errors.As(err, &fault) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(p.Text) > 128<<10 {
			t.Error("too long")
		}
	})
}

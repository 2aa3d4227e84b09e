// Package modeltest plays a provider of language models: OpenRouter as it was recorded, or a plain server with OpenAI's
// chat completions. It says what it was told to say, turn by turn or by a rule, breaks in every way in which providers
// break, and checks what it is sent: a client that sends what a provider would not accept fails its test.
//
//	provider := modeltest.New(t)
//	provider.Play(
//		modeltest.Turn{modeltest.Reasoning("Let me look.", "signature"), modeltest.Call("call_1", "readFile", `{"path":`, `"a.go"}`)},
//		modeltest.Turn{modeltest.Words("It is a Go file.")},
//	)
//	client := model.New(model.Config{BaseURL: provider.URL, Key: modeltest.Key})
//
// A whole task is played by a rule, which sees each request:
//
//	provider.Answer(func(r modeltest.Request) modeltest.Turn { … })
//
// [NewProvider] is the same without a test, as an http.Handler for programs.
package modeltest

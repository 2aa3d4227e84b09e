package approval

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// Limits of what is judged. Anything beyond is left to a person.
const (
	maxCommand = 16 << 10 // bytes of a command
	maxNesting = 200      // brackets and quotes that open something
	maxParts   = 100      // simple commands
	maxUnwrap  = 4        // commands in arguments of commands
)

// script is what is known of a command before it runs.
type script struct {
	text string
	// commands are the simple commands in it, wherever they stand: in lists, pipes, loops, functions, substitutions.
	commands []simple
	// odd says what else happens than that those commands run with the words that are written, for people; "" when
	// nothing does. Only the first thing is kept.
	odd string
	// hidden: it may run what is not among commands.
	hidden bool
	// files are what it redirects from and to.
	files []word
	// moved: its commands may run elsewhere than in the workspace folder.
	moved bool
}

// simple is a simple command.
type simple struct {
	words []word
	// env are the names of the variables that are set for it.
	env []string
}

// word is a word of a command as the program gets it, as far as that can be known.
type word struct {
	// text is the word without its quotes. What is not known is left out.
	text string
	// known: text is the whole word, or, of one with glob, what the whole word may be.
	known bool
	// literal: nothing in it is replaced by anything.
	literal bool
	// glob: the shell may put any number of file names in its place. They begin with prefix.
	glob   bool
	prefix string
}

// parse takes a command apart, as bash does.
func parse(text string) *script { return parseNested(text, 0) }

func parseNested(text string, depth int) (s *script) {
	s = &script{text: text}
	if why := unreadable(text); why != "" {
		s.hide(why)
		return s
	}
	defer func() { // of a parser on hostile input
		if recover() != nil {
			s = &script{text: text, odd: "It cannot be understood.", hidden: true}
		}
	}()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		s.hide("It cannot be understood.")
		return s
	}
	s.stmts(file.Stmts)
	if len(s.commands) == 0 && s.odd == "" {
		s.odd = "It has no command in it."
	}
	if len(s.commands) > maxParts {
		s.hide("It has too many commands in it.")
	}
	s.unwrap(depth)
	return s
}

// unreadable says why a text is not even looked at.
func unreadable(text string) string {
	switch {
	case len(text) > maxCommand:
		return "It is very long."
	case !utf8.ValidString(text):
		return "It has bytes in it that are no text."
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return "It has control characters in it."
	case strings.Count(text, "(")+strings.Count(text, "{")+strings.Count(text, "`")+strings.Count(text, "[")+
		strings.Count(text, "<<") > maxNesting:
		return "It is very deeply nested."
	}
	return ""
}

// note remembers that the commands are not all that happens.
func (s *script) note(why string) {
	if s.odd == "" {
		s.odd = why
	}
}

// hide is note where what happens may be the running of something.
func (s *script) hide(why string) {
	s.note(why)
	s.hidden = true
}

func (s *script) stmts(list []*syntax.Stmt) {
	for _, stmt := range list {
		s.stmt(stmt)
	}
}

func (s *script) stmt(stmt *syntax.Stmt) {
	if stmt == nil {
		return
	}
	if stmt.Background || stmt.Coprocess || stmt.Disown {
		s.note("It goes on in the background.")
	}
	for _, r := range stmt.Redirs {
		s.redirect(r)
	}
	switch cmd := stmt.Cmd.(type) {
	case nil:
	case *syntax.CallExpr:
		s.call(cmd)
	case *syntax.BinaryCmd:
		switch cmd.Op {
		case syntax.AndStmt, syntax.OrStmt, syntax.Pipe, syntax.PipeAll:
		default:
			s.hide("It cannot be understood.")
		}
		s.stmt(cmd.X)
		s.stmt(cmd.Y)
	case *syntax.Block:
		s.stmts(cmd.Stmts)
	case *syntax.Subshell:
		s.stmts(cmd.Stmts)
	case *syntax.TimeClause:
		s.stmt(cmd.Stmt)
	case *syntax.IfClause:
		for ; cmd != nil; cmd = cmd.Else {
			s.stmts(cmd.Cond)
			s.stmts(cmd.Then)
		}
	case *syntax.WhileClause:
		s.stmts(cmd.Cond)
		s.stmts(cmd.Do)
	case *syntax.ForClause:
		s.loop(cmd)
	case *syntax.CaseClause:
		s.note("It compares words.") // seldom, and its patterns are a language of their own
		s.word(cmd.Word)
		for _, item := range cmd.Items {
			for _, pattern := range item.Patterns {
				s.word(pattern)
			}
			s.stmts(item.Stmts)
		}
	case *syntax.FuncDecl:
		s.note("It defines a function.")
		s.stmt(cmd.Body)
	case *syntax.CoprocClause:
		s.note("It goes on in the background.")
		s.stmt(cmd.Stmt)
	case *syntax.DeclClause:
		s.hide("It sets variables.")
		s.inside(cmd)
	default: // arithmetic and [[ … ]]: bash evaluates what it finds in variables there
		s.hide("It evaluates an expression.")
		s.inside(cmd)
	}
}

func (s *script) loop(cmd *syntax.ForClause) {
	switch iter := cmd.Loop.(type) {
	case *syntax.WordIter:
		if cmd.Select || !iter.InPos.IsValid() || iter.Name == nil || !ordinary(iter.Name.Value) {
			s.hide("It sets variables.")
		}
		for _, item := range iter.Items {
			s.needKnown(s.word(item))
		}
	default:
		s.hide("It evaluates an expression.")
		s.inside(cmd.Loop)
	}
	s.stmts(cmd.Do)
}

// ordinary reports whether a variable's name means nothing to a shell or to programs.
func ordinary(name string) bool {
	switch name {
	case "histchars", "auto_resume":
		return false
	}
	return !strings.HasSuffix(name, "_proxy") && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
}

// inside looks for commands below a node that is not looked at otherwise.
func (s *script) inside(node syntax.Node) {
	syntax.Walk(node, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst:
			s.stmts(n.Stmts)
			return false
		case *syntax.ProcSubst:
			s.stmts(n.Stmts)
			return false
		}
		return true
	})
}

func (s *script) needKnown(w word) {
	if !w.known {
		s.note("It has words in it that only the shell knows.")
	}
}

// plainFile are names of files that are written as they are.
var plainFile = regexp.MustCompile(`^/?[A-Za-z0-9_.][A-Za-z0-9_./-]*$`)

// redirect judges a redirection: what is thrown away, joined or read may pass.
func (s *script) redirect(r *syntax.Redirect) {
	if r.Hdoc != nil {
		s.inside(r.Hdoc)
	}
	if r.N != nil && strings.ContainsFunc(r.N.Value, func(c rune) bool { return c < '0' || c > '9' }) {
		s.note("It opens a file.") // {name}>…: sets a variable, too
	}
	w := s.word(r.Word)
	plain := w.known && !w.glob
	s.files = append(s.files, w)
	switch r.Op {
	case syntax.RdrOut, syntax.RdrClob, syntax.AppOut, syntax.RdrAll, syntax.AppAll:
		if !plain || w.text != "/dev/null" {
			s.note("It writes to a file.")
		}
	case syntax.DplOut, syntax.DplIn:
		if !plain || (w.text != "1" && w.text != "2" && w.text != "0") {
			s.note("It writes to a file.")
		}
	case syntax.RdrIn: // bash makes connections of /dev/tcp/…
		lit, bare := r.Word.Parts[0].(*syntax.Lit)
		if !bare || lit.Value != w.text || !w.literal || !plainFile.MatchString(w.text) || (strings.Contains(w.text, "/dev") && w.text != "/dev/null") {
			s.note("It reads from what may be no file.")
		}
	default: // here-documents, here-strings, <>
		s.note("It gives a command an input of its own.")
	}
}

// harmless are variables that change how a program shows things, not what it runs.
var harmless = []string{
	"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CI", "TERM", "COLUMNS", "CGO_ENABLED", "GOOS", "GOARCH", "NODE_ENV",
	"RUST_BACKTRACE", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
}

func (s *script) call(cmd *syntax.CallExpr) {
	var c simple
	for _, a := range cmd.Assigns {
		s.assign(a, len(cmd.Args) > 0)
		c.env = append(c.env, a.Name.Value)
	}
	for _, arg := range cmd.Args {
		w := s.word(arg)
		s.needKnown(w)
		c.words = append(c.words, w)
	}
	if len(c.words) == 0 {
		return
	}
	if !c.words[0].literal {
		s.hide("What it runs is known to the shell only.")
	}
	switch base(c.words[0].text) {
	case "cd", "pushd", "popd":
		s.moved = true
	}
	s.commands = append(s.commands, c)
}

// assign judges an assignment.
func (s *script) assign(a *syntax.Assign, forCommand bool) {
	name := a.Name.Value
	if a.Append || a.Index != nil || a.Array != nil || a.Naked {
		s.hide("It sets variables.")
		s.inside(a)
		return
	}
	value := word{known: true, literal: true}
	if a.Value != nil {
		value = s.word(a.Value)
	}
	switch {
	case forCommand && value.literal && slices.Contains(harmless, name):
	case forCommand && value.literal && value.text == "cat" && (name == "PAGER" || name == "GIT_PAGER"):
	case ordinary(name):
		s.note("It sets variables.")
	default:
		s.hide("It sets " + shown(name) + ", which may change what runs.")
	}
}

// word returns a word as a program gets it, and notes what the shell does for it.
func (s *script) word(w *syntax.Word) word {
	out := word{known: true, literal: true}
	if w == nil {
		return out
	}
	b := &wordBuilder{s: s, w: &out}
	for _, part := range w.Parts {
		b.part(part, false)
	}
	out.text = b.text.String()
	if out.text == "[" && len(w.Parts) == 1 { // the command: a pattern would have to end
		out.glob, out.literal = false, true
	}
	if b.brace && (strings.Contains(out.text, ",") || strings.Contains(out.text, "..")) {
		out.known, out.literal = false, false // {a,b} and {1..3}: several words
		s.note("It has braces that the shell expands.")
	}
	return out
}

type wordBuilder struct {
	s     *script
	w     *word
	text  strings.Builder
	brace bool
	// dollar: what was added last is a $ that stands for itself.
	dollar bool
}

// follows notes what comes after a $ that stands for itself, but for what nobody takes for a name.
func (b *wordBuilder) follows(c byte, plain string) {
	if b.dollar && strings.IndexByte(plain, c) < 0 {
		b.s.note("It has a $ in it that stands for nothing.")
	}
	b.dollar = false
}

func (b *wordBuilder) part(part syntax.WordPart, quoted bool) {
	if _, more := part.(*syntax.Lit); !more {
		b.follows(0, "")
	}
	switch p := part.(type) {
	case *syntax.Lit:
		if quoted {
			b.quoted(p.Value)
		} else {
			b.bare(p.Value)
		}
	case *syntax.SglQuoted:
		if p.Dollar {
			b.unknown("It has characters in it that are written in another way.")
			return
		}
		b.text.WriteString(p.Value)
	case *syntax.DblQuoted:
		if p.Dollar {
			b.unknown("It has words in it that depend on the language.")
		}
		for _, inner := range p.Parts {
			b.part(inner, true)
		}
		b.dollar = false
	case *syntax.ParamExp:
		b.param(p, quoted)
	case *syntax.CmdSubst:
		b.unknown("It puts the output of a command into another.")
		b.s.stmts(p.Stmts)
	case *syntax.ProcSubst:
		b.unknown("It gives a command another command's output as a file.")
		b.s.stmts(p.Stmts)
	case *syntax.ArithmExp:
		b.unknown("It evaluates an expression.")
		b.s.hidden = true
		b.s.inside(p)
	default: // patterns of bash's own
		b.unknown("It has a pattern that only the shell knows.")
		b.s.inside(p)
	}
}

func (b *wordBuilder) unknown(why string) {
	b.w.known, b.w.literal = false, false
	b.s.note(why)
}

// bare adds text outside of quotes.
func (b *wordBuilder) bare(text string) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		b.follows(c, "")
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] != '\n' {
				b.text.WriteByte(text[i])
			}
			continue
		case c >= utf8.RuneSelf: // may be a space in some language
			b.w.literal = false
			b.s.note("It has unusual characters outside of quotes.")
		case c == '*' || c == '?' || c == '[':
			if !b.w.glob {
				b.w.prefix = b.text.String()
			}
			b.w.glob, b.w.literal = true, false
		case c == '{':
			b.brace = true
		}
		b.dollar = c == '$'
		b.text.WriteByte(c)
	}
}

// quoted adds text inside double quotes.
func (b *wordBuilder) quoted(text string) {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\\n", text[i+1]) >= 0 {
			i++
			if text[i] == '\n' {
				continue
			}
		} else {
			b.follows(text[i], " |)/.,:;\\")
			b.dollar = text[i] == '$'
		}
		b.text.WriteByte(text[i])
	}
}

// param adds a variable. Those that are a number or an absolute path are as good as known.
func (b *wordBuilder) param(p *syntax.ParamExp, quoted bool) {
	b.w.literal = false
	plain := p.Param != nil && !p.Excl && !p.Length && !p.Width && !p.IsSet && p.Index == nil && p.Slice == nil &&
		p.Repl == nil && p.Names == 0 && p.Exp == nil && p.Flags == nil && p.NestedParam == nil && len(p.Modifiers) == 0
	switch {
	case plain && p.Short && (p.Param.Value == "?" || p.Param.Value == "#" || p.Param.Value == "$"):
		b.text.WriteString("0")
	case plain && quoted && (p.Param.Value == "HOME" || p.Param.Value == "PWD"):
		b.text.WriteString("/")
	default:
		b.unknown("It has words in it that only the shell knows.")
		b.s.inside(p)
	}
}

// base returns the name of a program without its folder.
func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// shown returns a piece of a command for a sentence: short, and without characters that do not show.
func shown(text string) string {
	const most = 60
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// line returns the words of a command for a sentence.
func (c simple) line() string {
	texts := make([]string, len(c.words))
	for i, w := range c.words {
		texts[i] = w.text
		if !w.known {
			texts[i] += "…"
		}
	}
	return shown(strings.Join(texts, " "))
}

// settled reports whether the program and its words are those that are written: file names that the shell puts in
// cannot be taken for flags.
func (c simple) settled() bool {
	if !c.words[0].literal || c.words[0].text == "" {
		return false
	}
	ended := false
	for _, w := range c.words[1:] {
		if !w.known || (w.glob && !ended && (w.prefix == "" || w.prefix[0] == '-')) {
			return false
		}
		ended = ended || w.text == "--"
	}
	return true
}

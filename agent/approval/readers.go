package approval

import (
	"regexp"
	"slices"
	"strings"
)

// flags are those of a program with which it only reads and prints. Whatever else begins with a dash is not known.
type flags struct {
	short  string // letters without a value
	value  string // letters with a value, in the same word or the next
	loose  string // letters with a value in the same word or none
	long   map[string]valueKind
	number bool            // "-5"
	most   int             // arguments that are no flags, at most; below zero for any number
	check  func(args) bool // what else must hold
}

type valueKind int

const (
	noValue       valueKind = iota // --name
	optionalValue                  // --name or --name=value
	neededValue                    // --name=value or --name value
	twoValues                      // --name value value
)

// args are what a program was given, by kind.
type args struct {
	first string          // the word after the program's name, or its subcommand's
	plain []word          // those that are no flags
	seen  map[string]bool // the flags, without dashes and values
}

// read makes flags of a text: "-abc" are letters without a value, "-a:" with one, "-a?" with one that is in the same
// word if any; "name", "name=", "name?" and "name==" are long ones.
func read(text string) *flags {
	f := &flags{long: map[string]valueKind{}, most: -1}
	for item := range strings.FieldsSeq(text) {
		switch {
		case item == "-#":
			f.number = true
		case item[0] == '-' && strings.HasSuffix(item, ":"):
			f.value += item[1 : len(item)-1]
		case item[0] == '-' && strings.HasSuffix(item, "?"):
			f.loose += item[1 : len(item)-1]
		case item[0] == '-':
			f.short += item[1:]
		case strings.HasSuffix(item, "=="):
			f.long[item[:len(item)-2]] = twoValues
		case strings.HasSuffix(item, "="):
			f.long[item[:len(item)-1]] = neededValue
		case strings.HasSuffix(item, "?"):
			f.long[item[:len(item)-1]] = optionalValue
		default:
			f.long[item] = noValue
		}
	}
	return f
}

func (f *flags) upTo(most int) *flags              { f.most = most; return f }
func (f *flags) only(check func(args) bool) *flags { f.check = check; return f }

// allow reports whether the words after the program's name are among the flags. A word that begins with a dash is
// never taken for the value of another, so that it does not matter how the program itself reads it.
func (f *flags) allow(words []word) bool {
	got := args{seen: map[string]bool{}}
	if len(words) > 0 {
		got.first = words[0].text
	}
	for i := 0; i < len(words); i++ {
		text := words[i].text
		values, ok := 0, true
		switch {
		case text == "--":
			got.plain = append(got.plain, words[i+1:]...)
			i = len(words)
			continue
		case text == "" || text[0] != '-' || text == "-":
			got.plain = append(got.plain, words[i])
			continue
		case strings.HasPrefix(text, "--"):
			values, ok = f.allowLong(text[2:], got.seen)
		case f.number && isNumber(text[1:]):
		default:
			values, ok = f.allowShort(text[1:], got.seen)
		}
		if !ok || i+values >= len(words) {
			return false
		}
		for range values {
			i++
			if strings.HasPrefix(words[i].text, "-") || words[i].glob {
				return false
			}
		}
	}
	if f.most >= 0 && (len(got.plain) > f.most || slices.ContainsFunc(got.plain, func(w word) bool { return w.glob })) {
		return false // uniq, for one, writes to its second
	}
	return f.check == nil || f.check(got)
}

func (f *flags) allowLong(flag string, seen map[string]bool) (values int, ok bool) {
	name, _, hasValue := strings.Cut(flag, "=")
	kind, ok := f.long[name]
	seen[name] = true
	switch {
	case !ok, hasValue && (kind == noValue || kind == twoValues):
		return 0, false
	case hasValue:
		return 0, true
	case kind == neededValue:
		return 1, true
	case kind == twoValues:
		return 2, true
	}
	return 0, true
}

func (f *flags) allowShort(letters string, seen map[string]bool) (values int, ok bool) {
	for i := range len(letters) {
		seen[letters[i:i+1]] = true
		switch {
		case strings.IndexByte(f.value, letters[i]) >= 0:
			if i+1 == len(letters) {
				values = 1
			}
			return values, true
		case strings.IndexByte(f.loose, letters[i]) >= 0:
			return 0, true
		case strings.IndexByte(f.short, letters[i]) < 0:
			return 0, false
		}
	}
	return 0, true
}

func isNumber(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}

// readers are the programs and builtins that only read and print with those flags: no file is written, no program is
// run, no connection made. Only what is known to be so is here.
var readers = map[string]*flags{
	"cat":      read("-AbeEnstTuv number number-nonblank show-all squeeze-blank"),
	"tac":      read(""),
	"rev":      read(""),
	"head":     read("-qvz -nc: -# lines= bytes= quiet verbose"),
	"tail":     read("-qvz -nc: -# lines= bytes= quiet verbose"),
	"wc":       read("-lwcmL lines words bytes chars max-line-length"),
	"nl":       read("-p -bhfwsvinld:"),
	"cut":      read("-sz -bcdf: delimiter= fields= characters= bytes= only-delimited complement output-delimiter="),
	"tr":       read("-cCdst delete squeeze-repeats complement"),
	"paste":    read("-sz -d: serial delimiters="),
	"fold":     read("-bs -w: spaces width="),
	"expand":   read("-i -t: tabs="),
	"column":   read("-txn -s: table separator="),
	"comm":     read("-123z nocheck-order check-order"),
	"cmp":      read("-bls silent quiet verbose"),
	"diff":     read("-uUNqsrwBbaiyEZpTtd -xCWI: unified? recursive brief new-file ignore-all-space ignore-space-change ignore-blank-lines ignore-case side-by-side report-identical-files text minimal color? exclude= strip-trailing-cr width= suppress-common-lines context? label= -L:"),
	"uniq":     read("-cdDuiz -fsw: count repeated unique ignore-case skip-fields= skip-chars=").upTo(1),
	"sort":     read("-bdfghiMnRrVuczs -kt: numeric-sort reverse unique human-numeric-sort version-sort general-numeric-sort key= field-separator= ignore-case stable check? zero-terminated"),
	"grep":     read(grepFlags),
	"egrep":    read(grepFlags),
	"fgrep":    read(grepFlags),
	"rg":       read(ripgrepFlags),
	"ls":       read("-aAbBcCdfFgGhHiklLmnNopqQrRsStuUvxXZ1 all almost-all human-readable color? group-directories-first full-time recursive reverse size sort= time= time-style= directory classify? inode hide= ignore= no-group numeric-uid-gid dereference"),
	"tree":     read("-adflpsugDhinFqQ -LPI: dirsfirst noreport filelimit= prune gitignore"),
	"stat":     read("-Lft -c: format= printf= dereference file-system terse"),
	"file":     read("-biLhkN brief mime mime-type mime-encoding dereference no-dereference keep-going"),
	"du":       read("-hsackxLbm0l -d: max-depth= human-readable summarize all total bytes apparent-size exclude= threshold= one-file-system"),
	"df":       read("-hTiaPkl human-readable print-type inodes all local"),
	"pwd":      read("-LP"),
	"basename": read("-az -s: suffix= multiple"),
	"dirname":  read("-z"),
	"realpath": read("-emLPqsz relative-to= relative-base= canonicalize-existing canonicalize-missing"),
	"readlink": read("-femnqsvz canonicalize"),
	"whoami":   read(""),
	"id":       read("-ugGnrz user group groups name"),
	"groups":   read(""),
	"uname":    read("-asnrvmpio all"),
	"nproc":    read("all"),
	"uptime":   read("-ps"),
	"free":     read("-bkmghtw human total"),
	"ps":       read("-eAafFjlwNTHLcxS -opuUCqt: sort= forest no-headers pid= format= user="),
	"which":    read("-a"),
	"type":     read("-atpP"),
	"date":     read("-uR -I? -dr: utc iso-8601? rfc-3339= date= reference=").only(datePrints),
	"seq":      read("-w -sf: equal-width separator=").only(func(a args) bool { return len(a.plain) > 0 }),
	"sleep":    read("").upTo(1),
	"true":     read(""),
	"false":    read(""),
	":":        read(""),
	"cd":       read("-LP").upTo(1),

	"md5sum":    read(sumFlags),
	"sha1sum":   read(sumFlags),
	"sha224sum": read(sumFlags),
	"sha256sum": read(sumFlags),
	"sha384sum": read(sumFlags),
	"sha512sum": read(sumFlags),
	"b2sum":     read(sumFlags),
	"cksum":     read(""),
	"base64":    read("-di -w: decode ignore-garbage wrap=").upTo(1),
	"od":        read("-abcdfiloxv -AjNtw: address-radix= skip-bytes= read-bytes= format= width?"),
	"hexdump":   read("-bcCdovx -ns: canonical no-squeezing length= skip="),
	"strings":   read("-af -ntelo: all bytes="),
	"jq":        read("-rcesnSMCajR raw-output compact-output exit-status slurp null-input sort-keys monochrome-output color-output ascii-output join-output raw-input tab arg== argjson== indent="),
}

const (
	sumFlags  = "-bctwz check text binary quiet status warn tag ignore-missing strict zero"
	grepFlags = "-EFGPiyvwxcolLqsnHhbzrRUTaIuZ -efmABCdD: -# extended-regexp fixed-strings basic-regexp perl-regexp " +
		"ignore-case no-ignore-case invert-match word-regexp line-regexp count only-matching files-with-matches " +
		"files-without-match quiet silent no-messages line-number with-filename no-filename byte-offset null recursive " +
		"dereference-recursive text color? colour? line-buffered regexp= file= max-count= after-context= before-context= " +
		"context= include= exclude= exclude-dir= exclude-from= binary-files= label= initial-tab null-data"
	ripgrepFlags = "-FHINLPSUVabchilnopqsuvwx0. -efgtTABCmMjrdE: files hidden no-hidden no-ignore no-ignore-vcs no-heading heading " +
		"line-number no-line-number column ignore-case smart-case case-sensitive fixed-strings word-regexp line-regexp " +
		"invert-match files-with-matches files-without-match count count-matches only-matching json stats multiline " +
		"multiline-dotall pcre2 text no-messages trim vimgrep with-filename no-filename null follow unrestricted type-list " +
		"version sort= sortr= glob= iglob= type= type-not= regexp= after-context= before-context= context= max-count= " +
		"max-depth= max-columns= color= colors= replace= threads= encoding= no-config passthru pretty max-filesize= " +
		"glob-case-insensitive one-file-system quiet no-ignore-parent line-buffered"
)

func datePrints(a args) bool {
	return !slices.ContainsFunc(a.plain, func(w word) bool { return !strings.HasPrefix(w.text, "+") })
}

// reads reports whether a command only reads and prints: its program is known, and so is each of its flags. moved is
// the script's: git runs what the settings of the folder that it is in name, and such a folder can be part of a
// repository that was cloned.
func (c simple) reads(moved bool) bool {
	if !c.settled() || strings.Contains(c.words[0].text, "/") {
		return false
	}
	name, rest := c.words[0].text, c.words[1:]
	switch name {
	case "echo":
		return true
	case "printf": // -v and %n set a variable
		return len(rest) > 0 && !strings.HasPrefix(rest[0].text, "-") && !rest[0].glob && printfPrints.MatchString(rest[0].text)
	case "test", "[":
		return testReads(rest)
	case "command":
		return len(rest) > 1 && (rest[0].text == "-v" || rest[0].text == "-V") &&
			!slices.ContainsFunc(rest[1:], func(w word) bool { return strings.HasPrefix(w.text, "-") })
	case "sed":
		return sedReads(rest)
	case "find":
		return findReads(rest)
	case "fd", "fdfind":
		return fdFlags.allow(rest)
	case "git":
		return !moved && c.gitReads()
	case "go":
		return goReads(rest)
	}
	if f := readers[name]; f != nil {
		return f.allow(rest)
	}
	return versions[name] && len(rest) == 1 && slices.Contains(telling, rest[0].text)
}

// versions are programs that can be asked for their version whatever folder they are in. Those that look into the
// folder first, and may run what they find there, are not among them: cargo, rustc, npm, yarn.
var versions = wordSet("bash python python2 python3 node perl ruby gcc g++ cc clang make rg jq curl wget tar sed grep java")

var fdFlags = read("-HIuspagiFL0 -tedEcSjo: hidden no-ignore unrestricted case-sensitive ignore-case glob fixed-strings " +
	"absolute-path follow full-path type= extension= max-depth= min-depth= exact-depth= exclude= color= size= " +
	"changed-within= changed-before= owner= max-results= print0 regex")

// printfPrints are formats with the usual conversions alone.
var printfPrints = regexp.MustCompile(`^(?:[^%]|%%|%[-+ #0-9.]*[bcdiouxXeEfgGsq])*$`)

// testReads: -v and -R evaluate the name of a variable, subscripts included.
func testReads(words []word) bool {
	for _, w := range words {
		if strings.ContainsAny(w.text, "[$`") {
			return false
		}
		if len(w.text) > 1 && w.text[0] == '-' && !testOperators[w.text] {
			return false
		}
	}
	return true
}

var testOperators = wordSet("-b -c -d -e -f -g -h -k -p -r -s -u -w -x -L -S -z -n -a -o -eq -ne -lt -le -gt -ge -nt -ot -ef")

// sedPrints are the scripts of sed that only print lines: 10,20p, /^func/,/^}/p and the like. Others can write files
// and run commands.
var sedPrints = func() *regexp.Regexp {
	const address = `(?:\d+|\$|/(?:[^/\\\n]|\\[^\n])+/)`
	const command = address + `(?:,(?:` + address + `|\+\d+))?[pq]`
	return regexp.MustCompile(`^` + command + `(?:;` + command + `)*$`)
}()

func sedReads(words []word) bool {
	script := false
	for i, w := range words {
		switch {
		case !script && (w.text == "-n" || w.text == "-E" || w.text == "-r"):
		case !script && w.text == "-e" && i+1 < len(words):
		case !script:
			if !sedPrints.MatchString(w.text) || w.glob {
				return false
			}
			script = true
		case strings.HasPrefix(w.text, "-"):
			return false
		}
	}
	return script
}

var findTests = map[string]int{ // how many words follow
	"-name": 1, "-iname": 1, "-path": 1, "-ipath": 1, "-wholename": 1, "-regex": 1, "-iregex": 1, "-regextype": 1,
	"-type": 1, "-xtype": 1, "-maxdepth": 1, "-mindepth": 1, "-size": 1, "-mtime": 1, "-mmin": 1, "-atime": 1, "-amin": 1,
	"-ctime": 1, "-cmin": 1, "-newer": 1, "-newermt": 1, "-perm": 1, "-user": 1, "-group": 1, "-links": 1, "-inum": 1,
	"-lname": 1, "-ilname": 1, "-samefile": 1, "-printf": 1, "-fstype": 1,
	"-empty": 0, "-print": 0, "-print0": 0, "-prune": 0, "-ls": 0, "-readable": 0, "-writable": 0, "-executable": 0,
	"-not": 0, "-a": 0, "-and": 0, "-o": 0, "-or": 0, "-true": 0, "-false": 0, "-depth": 0, "-xdev": 0, "-mount": 0,
	"-follow": 0, "-daystart": 0, "-quit": 0, "-noleaf": 0, "-H": 0, "-L": 0, "-P": 0, "-nouser": 0, "-nogroup": 0,
}

func findReads(words []word) bool {
	for i := 0; i < len(words); i++ {
		text := words[i].text
		if !strings.HasPrefix(text, "-") {
			continue // a folder, or one of ( ) ! ,
		}
		n, ok := findTests[text]
		if !ok || i+n >= len(words) {
			return false
		}
		// A number may begin with a dash ("-mtime -1"); nothing else that does is taken for a value.
		if n == 1 {
			i++
			if value := words[i].text; words[i].glob || (strings.HasPrefix(value, "-") && !findAge.MatchString(value)) {
				return false
			}
		}
	}
	return true
}

var findAge = regexp.MustCompile(`^-\d+[a-zA-Z]?$`)

func goReads(words []word) bool {
	if len(words) == 0 {
		return false
	}
	switch words[0].text {
	case "version":
		return len(words) == 1
	case "help":
		return !slices.ContainsFunc(words, func(w word) bool { return strings.HasPrefix(w.text, "-") })
	case "env":
		return !slices.ContainsFunc(words[1:], func(w word) bool {
			return strings.ContainsAny(w.text, "=") || (strings.HasPrefix(w.text, "-") && w.text != "-json" && w.text != "-changed")
		})
	}
	return false
}

package caddymodule

import "sync"

// ballast keeps the garbage collector from running many times a second. A collection begins when the heap has
// grown by as much as is in use (GOGC), which in a gateway is so little that a tenth of a second's requests
// come to it. This counts as in use, but nobody ever writes to it, so that it takes address space and no
// memory; the heap may grow by as much more before it is collected.
var ballast = sync.OnceValue(func() []byte { return make([]byte, ballastSize) })

const ballastSize = 32 << 20 // bytes

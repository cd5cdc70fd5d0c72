"""JavaScript of JAX's elementwise primitives in double precision, by name."""

ELEMENTWISE = {
    "add": "({0}+{1})",
    "sub": "({0}-{1})",
    "mul": "({0}*{1})",
    "div": "({0}/{1})",
    "rem": "({0}%{1})",
    "neg": "(-{0})",
    "sign": "sign({0})",
    "abs": "abs({0})",
    "max": "max({0},{1})",
    "min": "min({0},{1})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "sqrt": "sqrt({0})",
    "rsqrt": "(1/sqrt({0}))",
    "cbrt": "cbrt({0})",
    "square": "square({0})",
    "pow": "power({0},{1})",
    "exp": "exp({0})",
    "exp2": "power(2,{0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log1p": "log1p({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "tan({0})",
    "asin": "asin({0})",
    "acos": "acos({0})",
    "atan": "atan({0})",
    "atan2": "atan2({0},{1})",
    "sinh": "sinh({0})",
    "cosh": "cosh({0})",
    "tanh": "tanh({0})",
    "asinh": "asinh({0})",
    "acosh": "acosh({0})",
    "atanh": "atanh({0})",
    "logistic": "(1/(1+exp(-{0})))",
    "is_finite": "isFinite({0})",
    "eq": "({0}==={1})",
    "ne": "({0}!=={1})",
    "lt": "({0}<{1})",
    "le": "({0}<={1})",
    "le_to": "({0}<={1})",
    "clamp": "min(max({1},{0}),{2})",
    "gt": "({0}>{1})",
    "ge": "({0}>={1})",
}
"""Of numbers."""

BOOLEAN = {"and": "({0}&&{1})", "or": "({0}||{1})", "not": "(!{0})", "xor": "({0}!=={1})"}
"""Of truth values. Bits of integers are refused: JavaScript has 32 of them."""

INTEGER = {"div": "trunc({0}/{1})"}
"""Of integers where that differs, up to 2^53."""

OWN = {
    "select": "({0}?{1}:{2})",
    "truncate": "trunc({0})",
    "number": "(+{0})",
    "truth": "({0}!==0)",
    "round_even": "roundEven({0})",
    "log2": "log2({0})",
    "log10": "log10({0})",
    "mantissa": "mantissa({0})",
    "exponent": "exponent({0})",
    "ldexp": "ldexp({0},{1})",
}
"""What the compiler makes of several primitives, or of one with a parameter."""

TEMPLATES = {**ELEMENTWISE, **BOOLEAN, **OWN, "integer_div": INTEGER["div"]}

SAME = ("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision", "real")
"""Those that change no number."""

INNER = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
"""Those that hold a jaxpr to be put in their place."""

HELPERS = """
const {abs,acos,acosh,asin,asinh,atan,atan2,atanh,cbrt,ceil,cos,cosh,exp,
expm1,floor,log,log10,log1p,max,min,sign,sin,sinh,sqrt,tan,tanh,trunc}=Math;
const square=x=>x*x;
const $bytes=text=>Uint8Array.from(atob(text),one=>one.charCodeAt(0)).buffer;
const $at=(i,n)=>i<0?0:i<n?i:n-1;
const power=(x,y)=>x===1||y===0?1:Math.pow(x,y);
const roundEven=x=>{const r=Math.round(x);return Math.abs(x%1)===.5&&r%2!==0?r-1:r};
const words=new Float64Array(1),halves=new Uint32Array(words.buffer);
const exponent=x=>{if(x===0||!isFinite(x))return 0;let more=0;if(Math.abs(x)<2.2250738585072014e-308){x*=2**54;more=-54}
words[0]=x;return(halves[1]>>>20&2047)-1022+more};
const twos=Float64Array.from({length:2098},(_,k)=>2**(k-1074));
const ldexp=(x,e)=>{for(;e>1023;e-=1023)x*=2**1023;for(;e<-1022;e+=1022)x*=2**-1022;return x*twos[e+1074]};
const mantissa=x=>{if(x===0||!isFinite(x))return x;if(Math.abs(x)<2.2250738585072014e-308)return ldexp(x,-exponent(x));
words[0]=x;halves[1]=halves[1]&0x800fffff|0x3fe00000;return words[0]};
const log2=x=>{const r=Math.log2(x),e=Math.round(r);return Math.abs(r-e)<1e-9&&e>-1075&&e<1024&&twos[e+1074]===x?e:r};
"""
"""The functions that templates call."""

"""A model of 1 kB on which an engine's private interface is checked before it opens a bundle.

Two signatures: `write(value [4096], position [1]) -> square, entry, double` stores the value in a
variable, `read() -> value` gives it back. tests/support/exports/probe_graph.py makes it.
"""

import base64
import zlib

VALUES = 4096  # of the variable, float32
OPERATORS = ["MUL", "GATHER", "ADD", "VAR_HANDLE", "ASSIGN_VARIABLE"]  # of `write`, in order
TEXT = (
    "c-nnbzb^zq6n?k2<ie7TtWaE`xI&?jP$(24A`0b2r8%*QOD?x(-4PWLg+jPep-?FOAu5$Z=}%B7kMX^o_io4evB{"
    "U2dGo&ad$vqO)%DGVh{`lg5rq^`iTLwzBFKp53q(u63UKce6(RG0T_DPI#~r4R6A@H#w)b<HlqijBOv&!}ylRZ$b"
    "qF}DH99frHzL-2>~cGMqI;Cq+pNoRECVxQ@9o3dV+?bANoS`4#nPuSMUgW<Zno27=0WZ``Um@+S{mEjW<|aR9gUZ"
    ">Yb6Kuc0Fk_gX0@^>}n3GztJ;><*hW?iKS*extm7rA=V4vQo#3%a=!(?wzkv?C4aVc+q3a#9T{i2Zo;*mm)a0~aL"
    "nPaHO~3utVG}Qe?UzGD;^7_PJ6ZHZbJ;+eEjYsvlnvjqJA#}(c8df71%CVPJs0h>$#i1>F2Z`3XkQt@TV~jNxWy!"
    "Eld8)Uy}Sw;<qHd`>zga>nZm;s&!{ykuwJ#x!-vI-HgiY3x7)a%&Q8&=<o~uw?p6fp}n5edUb{C4fs}D#eujA(x("
    "^Tjt2<Xbb5Mf{_knSnH%>VX-_W)=1Sj_&eOvHU*A<e6E<6tnUGk#=*Jt&Z3fPNDfpwGYM*^>11mBM73l-#{)pJFt"
    "-q6J?7Omm#r{h6KKYsMJ7g6rs{|6U`k%1!i7&<$sI3"
)


def probe_model() -> bytes:
    """Returns the contents of the .tflite file."""
    return zlib.decompress(base64.b85decode(TEXT))

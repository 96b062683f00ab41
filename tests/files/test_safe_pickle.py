"""read_array_dict: what it reads, and that it runs no code."""

import base64
import io
import os
import pickle
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse

from gait.errors import GaitError
from gait.files import safe_pickle
from gait.files.safe_pickle import ChumpyExpression, read_array_dict
from tests.helpers.body_files import python2_npy

ARRAYS = {
    "doubles": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "unsigned": np.array([[2**32 - 1, 0]], dtype=np.uint32),
    "big_endian": np.arange(4, dtype=">i2"),
    "bools": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "text": np.array(["a", "é"]),
    "scalar": np.float64(1.5),
    "number": 7,
    "lists": {"indices": [np.array([1, 2]), np.array([3])], "objects": np.array([{"a": np.eye(2)}, None])},
}


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list) or (isinstance(expected, np.ndarray) and expected.dtype == object):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    elif isinstance(expected, np.ndarray):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def npy_of(value):
    """Return the bytes that the installed numpy.save writes for a dict."""
    stream = io.BytesIO()
    np.save(stream, np.array(value, dtype=object), allow_pickle=True)
    return stream.getvalue()


WRITERS = {
    "python2.npy": python2_npy,
    "today.npy": npy_of,
    **{f"protocol{k}.pkl": lambda value, k=k: pickle.dumps(value, protocol=k) for k in range(6)},
}


@pytest.mark.parametrize("name", WRITERS)
def test_read_array_dict_of_old_and_new_numpy(tmp_path, name):
    (tmp_path / name).write_bytes(WRITERS[name](ARRAYS))
    assert_same(read_array_dict(tmp_path / name), ARRAYS)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix", "coo_matrix", "csr_array"])
def test_read_array_dict_sparse_matrices(tmp_path, name, kind):
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    (tmp_path / name).write_bytes(WRITERS[name]({"m": getattr(scipy.sparse, kind)(dense)}))
    np.testing.assert_array_equal(read_array_dict(tmp_path / name)["m"].toarray(), dense)


@pytest.mark.parametrize("module", ["scipy.sparse", "scipy.sparse.csc", "scipy.sparse._csc"])
def test_read_array_dict_sparse_matrices_of_old_module_paths(tmp_path, module):
    data = pickle.dumps({"m": scipy.sparse.csc_matrix(np.eye(3))}, protocol=2)
    assert data.count(b"cscipy.sparse._csc\n") == 1
    (tmp_path / "m.pkl").write_bytes(data.replace(b"cscipy.sparse._csc\n", f"c{module}\n".encode()))
    np.testing.assert_array_equal(read_array_dict(tmp_path / "m.pkl")["m"].toarray(), np.eye(3))


def test_read_array_dict_npz_with_a_pickled_member(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.eye(3), meta=np.array({"num_pose": 3}, dtype=object))
    found = read_array_dict(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["x"], np.eye(3))
    assert found["meta"] == {"num_pose": 3}


CHUMPY_PICKLES = {
    0: (
        "c-"
        "rMv!H&}~5ETd{G$#&xL@%uDI8JN{iIq6@(gR36Aw_B8O$%*eISEVunor=3)9$vYNI7t$Qj)1XGk%`;#$ME3(E4%P?HzeZRn_@p5nMxfRbAT;VXTH"
        "OkWXk)Ron64k9XCUK5fY>s)}MW?)Jm3Eeh&3-&{42PiZxHO`m;6i`wV3F6vzvj>V5M^yJNTQ11|7X|dRQDQNIgB2XsOuZ!J)Ri&a8>_hq86}4-"
        "72AR@Q2s)4U9(j3KpNDJbU0e4>*RqK<Wke!#O#Z|_Kxn6Zbiv&nMnEY;D34cLh96)}j?~tZgHHr4mW(q&sfwzrUDcCo*}x=9wBF#WXuU77KM6Z!X"
        "Rbz)v6ZuBkVN81XsLM6o&Zrj96b^#tg?PEFl5}*Qb@R|1hGmX4*5S|5`|u^mha)i52I3=HXP7IC|^f`-"
        "@kqT`Z(YBevZ?dSzd2vdA++wRWj_Ji>|oT%CKc=16lM#IgC(43ca`P5r(856VMN<HbLC8#DnWX?ZU2Y=!@G=x>nRgZKo+Rr<ygDVl_j}B;XWUFX3"
        "mXT>Ic2TnMf%`fbUarWT{S`X>NrK_xnbm9C-"
        "m=7z?#x~Xw}l72HOT5FhCuF3F4)`lh9JZV&ODOh!yOQFxI<Kk#bO;p(qD$B%$$})zPB~fL~4T)vyQerRWtKsE**H`mhU(a{NM$?lvvUogkX|f#JX"
        "h2Tv#)L;qR7LCh!PSVdQ5Vgb{9GV3m+@#zF38W}fRhEp<}8m~pNVbc6KVR2y_{J?$RDib`H8jMa2|VoRv1)XP2%{Eo7~6~k%rGi6AP1qNbuH=2h8"
        "iMX0EnHhkKx`!KcYiL>g`iW0(nJFNn0LY;0ki<W@4FmKU+=cBk6gw~@W(+GZD>imdzv*kKGUi_GSKJA8&vw!QCSN^?SPE#HyI&X*dR_8Ger$pju3"
        "sZh}?y$xFmeft&_*%fdp@@M3m{_Z!-qC36"
    ),
    2: (
        "c-ozlX;;%g6o$J32DDXh-*69Fs<@(}ptw@4I*7&vW0t|`u}%8UOoV>OIr^bs|Be5_AEuKu;5nL4&WGGdX6D{^p7-"
        "W!E<{E*ikVDimHADItmCkt)$UXsrp+@AxruMchbZXAu-ap~4K6$87mEuN9n-XfMpHIC)6@i&8U~gz*u@aRHlq;jZb%NT-apy0K2y`Bo}d`+86#Vt"
        "L|Y}J80i`1xBzWa&lRTcMN@(8A$Ay9wX%ki<MoyKoK{<bDr|9Xbu^Px$M=Nfful5(`@1yH?XO~IEz`v=$8>y`IzppfG|?~`XSFeA45-"
        "+&)HSBCdmVcS_HJMw!G67#t>tR@bsR`iy0X(&Cl4Aqbz)^2hkD;PaG2nTUdzYXW^lA#uP^*kBYxB}661D{jT%##zsJuXv&n3(ABK`xPU6@cjxi<Z"
        "IKc^tleRG!@e$IJfxsyvuiiYmiqnA|!&Vq2&TP8Jsn1=?8{Q{vkv3@rMpsTwggC3SB2z}4(__gNDn=<f&glx}oVuo9R-0lnPTFwS1gf-"
        ")^8^=Iij`9-R$lBe<=Q1yVR=?%WfmK7nJKDQ2(Cs{3te1eeT<E1Oh*{66WmZ3*}nj9#sJ6F-"
        "fRLam&8I6i%G;x#OoHpZHZZ%O)B?t>zGr324Yx3QWtkv)Y5lD%qJl3v69ureS!z-f^4|QMq>RBS!q-"
        "Iqe%N>f`zS)sIepe@9L9C<x_&X#4}roi<}fe3(x=jdZynNn&rA0UMR67#9|`$rOqlz<1Q&%UJ<-"
        "bv&BfU<xPC8x3MitET2%30rwP@cPWh{x#fwrFI3CFS1Oi6d`MK7tfG*8B(Tzo+bPAJxVRe?5A2}&8?Dzy0s"
    ),
}
"""Pickles of chumpy 0.70 by protocol, deflated, in base 85: {whole: ch.array(arange(6.).reshape(2, 3)),
part: whole[:, 1:], nested: ch.Ch(whole), sum: whole + whole, turned: whole.T}."""


@pytest.mark.parametrize("protocol", CHUMPY_PICKLES)
def test_read_array_dict_chumpy_variables_and_formulas(tmp_path, protocol):
    (tmp_path / "ch.pkl").write_bytes(zlib.decompress(base64.b85decode(CHUMPY_PICKLES[protocol])))
    found = read_array_dict(tmp_path / "ch.pkl")
    whole = np.arange(6.0).reshape(2, 3)
    expected = {"whole": whole, "part": whole[:, 1:], "nested": whole}
    assert_same({key: found[key] for key in expected}, expected)
    assert found["sum"] == ChumpyExpression("chumpy.ch_ops.add")
    assert found["turned"] == ChumpyExpression("chumpy.reordering.transpose")


@pytest.mark.parametrize("protocol", range(6))
def test_read_array_dict_with_ordered_dicts_and_sets(tmp_path, protocol):
    content = {"a": np.eye(2), "names": OrderedDict(pelvis=0, hip=1), "set": {1, 2}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    np.testing.assert_array_equal(read_array_dict(tmp_path / "a.pkl")["a"], np.eye(2))


class Calls:
    """An object whose pickle calls any function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("wrap", [pickle.dumps, npy_of, lambda v: pickle.dumps(v, protocol=0)])
def test_read_array_dict_names_a_malicious_function_and_runs_nothing(tmp_path, wrap):
    witness = tmp_path / "was_here"
    evil = tmp_path / "evil.npy"
    calls = {
        "posix.system": Calls(os.system, f"touch {witness}"),
        "io.open": Calls(open, str(witness), "w"),
        "builtins.eval": Calls(eval, f"open({str(witness)!r}, 'w')"),
        "builtins.getattr": Calls(getattr, "", "join"),
        "numpy.save": Calls(np.save, str(witness), np.zeros(1)),
        "numpy.load": Calls(np.load, str(witness)),
        "numpy.recarray": np.zeros(2).view(np.recarray),
    }
    for name, call in calls.items():
        evil.write_bytes(wrap({"v_template": call}))
        with pytest.raises(GaitError) as caught:
            read_array_dict(evil)
        line = str(caught.value)
        function = name.rpartition(".")[2]
        assert line.startswith(f"{evil}: its pickle uses ")
        assert f".{function}, which is not an array: refused, nothing was run." in line
        assert "\n" not in line
        assert not witness.exists()


def test_read_array_dict_refuses_a_malicious_npz_member(tmp_path):
    witness = tmp_path / "was_here"
    np.savez(tmp_path / "evil.npz", x=np.array(Calls(os.system, f"touch {witness}"), dtype=object))
    with pytest.raises(GaitError, match=r"posix\.system"):
        read_array_dict(tmp_path / "evil.npz")
    assert not witness.exists()


def opcodes(*parts):
    return pickle.PROTO + b"\x02" + b"".join(parts) + pickle.STOP


RECORD = np.dtype([("a", "f8"), ("b", "i4")])
HOSTILE = {
    "encodes text as 'zlib'": opcodes(b"c_codecs\nencode\n", b"(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR"),
    "calls bytes with an argument": opcodes(b"c__builtin__\nbytes\n", b"(J\xff\xff\xff\x7ftR"),
    "rebuilds an array of a class that is not numpy.ndarray": opcodes(
        b"cnumpy.core.multiarray\n_reconstruct\n", b"(cnumpy\ndtype\n(K\x00tU\x01btR"
    ),
    "rebuilds an object that is not a sparse matrix": opcodes(
        b"ccopy_reg\n_reconstructor\n", b"(cnumpy\nndarray\nc__builtin__\nobject\nNtR"
    ),
    "refers to objects outside the file": opcodes(b"K\x01Q"),
    "contains records, not plain numbers": pickle.dumps({"a": np.zeros(2, RECORD)}),
    "contains an array of unknown kind 'M8'": pickle.dumps({"a": np.zeros(2, "datetime64[s]")}),
    "contains an array without its numbers": opcodes(
        b"}U\x01acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR",
        b"(K\x01(K\x02tcnumpy\ndtype\n(U\x02f8K\x00K\x01tR\x89]tbs",
    ),
    "contains an array without a dtype": opcodes(
        b"}U\x01acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR",
        b"(K\x01(K\x02tN\x89U\x01atbs",
    ),
    "contains a list, not a dictionary of arrays": pickle.dumps([1, 2]),
    "nested more than 16 deep": pickle.dumps({"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}),
    "contains an array of shape (3,), not a dictionary of arrays": b"",
    "damaged, truncated, or not a file of arrays": b"solid cube\n facet normal 0 0 0\n",
}


@pytest.mark.parametrize("line", HOSTILE)
def test_read_array_dict_refuses_hostile_files_in_one_line(tmp_path, line):
    path = tmp_path / "odd.npy"
    if HOSTILE[line]:
        path.write_bytes(HOSTILE[line])
    else:
        np.save(path, np.zeros(3))
    with pytest.raises(GaitError) as caught:
        read_array_dict(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_array_dict_refuses_sparse_indices_out_of_range(tmp_path):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices[0] = 1000  # scipy's own product would read past its memory
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"m": matrix}))
    with pytest.raises(GaitError, match="damaged"):
        read_array_dict(tmp_path / "m.pkl")


def test_read_array_dict_reads_shared_lists_once(tmp_path):
    value = [1.0]
    for _ in range(14):
        value = [value] * 100  # 10^28 items if each were read anew
    (tmp_path / "laughs.pkl").write_bytes(pickle.dumps({"a": value}))
    assert len(read_array_dict(tmp_path / "laughs.pkl")["a"]) == 100


def test_read_array_dict_placeholders_are_not_shared_between_files(tmp_path):
    poison = opcodes(b"cscipy.sparse\ncsc_matrix\nN}U\x0d__setstate__cnumpy\nndarray\ns\x86b")
    (tmp_path / "poison.pkl").write_bytes(poison)
    with pytest.raises(GaitError):
        read_array_dict(tmp_path / "poison.pkl")
    test_read_array_dict_sparse_matrices(tmp_path, "protocol2.pkl", "csc_matrix")


@pytest.mark.parametrize("name", ["python2.npy", "today.npy", "protocol2.pkl", "a.npz"])
def test_read_array_dict_refuses_every_truncation_in_one_line(tmp_path, name):
    path = tmp_path / name
    if name == "a.npz":
        np.savez(path, **{k: v for k, v in ARRAYS.items() if isinstance(v, np.ndarray)})
        whole = path.read_bytes()
    else:
        whole = WRITERS[name](ARRAYS)
    for size in sorted({0, 1, 5, 9, 11, 80, 140, *range(150, len(whole) - 1, 97), len(whole) - 1}):
        path.write_bytes(whole[:size])
        with pytest.raises(GaitError) as caught:
            read_array_dict(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_read_array_dict_with_any_flipped_byte(tmp_path):
    whole = bytearray(python2_npy({"a": np.arange(3.0), "m": scipy.sparse.csc_matrix(np.eye(2))}))
    path = tmp_path / "flipped.npy"
    rng = np.random.default_rng(0)
    lines = []
    for position in range(len(whole)):
        changed = whole.copy()
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_array_dict(path)
        except GaitError as error:
            lines.append(str(error))
    assert len(lines) > len(whole) / 2
    assert not any("\n" in line for line in lines)


def test_read_array_dict_missing_and_huge_files(tmp_path, monkeypatch):
    with pytest.raises(GaitError, match=r"nothing.npy: no such file\."):
        read_array_dict(tmp_path / "nothing.npy")
    with pytest.raises(GaitError, match="cannot be read"):
        read_array_dict(tmp_path)
    (tmp_path / "claims.npy").write_bytes(
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117)
        + b"\n"
    )
    with pytest.raises(GaitError, match=r"claims an array of shape \(1000000, 1000000\), more than the file contains"):
        read_array_dict(tmp_path / "claims.npy")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * 5000)
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 1000)
    with pytest.raises(GaitError, match="unpacks to"):
        read_array_dict(tmp_path / "bomb.npz")
    (tmp_path / "large.npy").write_bytes(b"\0" * 2000)
    with pytest.raises(GaitError, match="large, more than"):
        read_array_dict(tmp_path / "large.npy")

# SPDX-License-Identifier: MIT
"""test/host/malloc/programs.py - real programs that run on an allocator of choice, each with a fixed task

A program's task is a function of a Run: it starts commands, which get the allocator by LD_PRELOAD, and returns what
is to be compared. test_programs.py compares it between allocators; test/bench/programs.py measures. What all runs share
(inputs, the C++ program) is made once, in build/programs/, without any allocator of ours.
"""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FOLDER = os.path.join(ROOT, "build/programs")
LIBRARY = os.path.join(ROOT, "build/host/liboctavo-malloc.so")
HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1",
               "PERL_HASH_SEED": "1", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_DATE": "1700000000 +0000",
               "GIT_COMMITTER_DATE": "1700000000 +0000"}
TIMEOUT_S = 600  # of one command, with all it starts

# A job in the background ignores SIGINT and would hand that on; some of Python's tests interrupt themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Failed(Exception):
    """A command ended with another status than 0; 124: it took too long."""


class Run:
    """One run of a program: where it works, on which allocator, and what it took."""

    def __init__(self, folder, extent=1, **environment):
        self.folder, self.extent, self.environment = folder, extent, environment
        self.cpu_s = self.peak_kib = 0
        self.background = []

    def measured(self, command):
        """The command under time(1): a small parent, or its own memory would count as the child's peak."""
        handle, report = tempfile.mkstemp(dir=self.folder, prefix="time.")
        os.close(handle)
        settings = [f"{key}={value}" for key, value in self.environment.items()]
        return ["timeout", "-k", "5", str(TIMEOUT_S * self.extent), "time", "-o", report, "-f", "%U %S %M", "env", *settings, *command], report

    def add(self, report):
        with open(report, encoding="ascii") as lines:
            user, system, peak = lines.read().split()[-3:]
        self.cpu_s += float(user) + float(system)
        self.peak_kib = max(self.peak_kib, int(peak))

    def command(self, *command, stdin=subprocess.DEVNULL, ours=True):
        """Runs it to its end; returns what it printed, errors included."""
        argv, report = self.measured(command) if ours else (command, None)
        done = subprocess.run(argv, cwd=self.folder, env={**ENVIRONMENT, "HOME": self.folder}, stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{text[-2000:]}")
        if report:
            self.add(report)
        return text

    def start(self, *command):
        """Runs it in the background until finish()."""
        argv, report = self.measured(command)
        log = open(os.path.join(self.folder, "background.log"), "w+b")
        child = subprocess.Popen(argv, cwd=self.folder, env={**ENVIRONMENT, "HOME": self.folder},
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.background.append((child, report, log))

    def finish(self):
        """Waits for what runs in the background; returns what it printed."""
        child, report, log = self.background.pop()
        status = child.wait(60)
        log.seek(0)
        text = log.read().decode(errors="replace")
        if status != 0:
            raise Failed(f"a background command ended with {status}:\n{text[-2000:]}")
        self.add(report)
        return text


def digest(text):
    return hashlib.sha256(text.encode(errors="replace")).hexdigest() + "\n"


# ---- inputs --------------------------------------------------------------------------------------------------


def made(name, make):
    """The file build/programs/name, made by make(path) unless it is there and newer than what lies beside this file."""
    path = os.path.join(FOLDER, name)
    sources = (os.path.join(HERE, source) for source in ("programs.py", "forms.cpp"))
    if not os.path.exists(path) or os.path.getmtime(path) < max(map(os.path.getmtime, sources)):
        os.makedirs(FOLDER, exist_ok=True)
        make(f"{path}.{os.getpid()}")  # another worker may be at the same
        os.rename(f"{path}.{os.getpid()}", path)
    return path


def numbers(seed):
    """Numbers that look random and are the same each time (MINSTD, Park and Miller 1988)."""
    while True:
        seed = seed * 48271 % 0x7FFFFFFF
        yield seed


def large_c(path, n):
    """A C file of n functions: structs, loops, switches, calls of those before."""
    rnd = numbers(42)
    with open(path, "w", encoding="ascii") as out:
        out.write("#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n")
        for i in range(n):
            a, b, c = next(rnd) % 97 + 1, next(rnd) % 31 + 1, next(rnd) % max(i, 1)
            cases = "".join(f"    case {k}: s.f{k % 4} += x * {next(rnd) % 1000}u; break;\n" for k in range(next(rnd) % 12))
            call = f"s.f1 ^= f{c}(x >> 1, n / 2);" if i else ""
            out.write(f"struct s{i} {{ uint32_t f0, f1, f2, f3; double d[{b}]; char name[{a}]; }};\n"
                      f"uint32_t f{i}(uint32_t x, unsigned n)\n{{\n    struct s{i} s = {{ .f0 = x, .f2 = {a}u }};\n"
                      f"    for (unsigned i = 0; i < n % {a}u; i++) {{\n        s.d[i % {b}] += x * 0.5 + {c};\n"
                      f"        s.name[i] = (char)(s.f0 >> (i & 7));\n        switch (i % 12) {{\n    {cases}"
                      f"    default: s.f3 = s.f3 * 31u + s.f0;\n        }}\n    }}\n    {call}\n"
                      f"    if (strlen(s.name) > {b}) printf(\"%s %u %f\\n\", s.name, s.f0, s.d[0]);\n"
                      f"    return s.f0 ^ s.f1 ^ s.f2 ^ s.f3;\n}}\n")


def history(path):
    """A stream for git fast-import: 2,500 commits on 150 files, each changing lines in a few of them."""
    rnd = numbers(7)
    files = [[f"line {k} of file {i}: {next(rnd)}" for k in range(120)] for i in range(150)]
    with open(path, "w", encoding="ascii") as out:
        for n in range(2500):
            message = f"change {n}\n\nbecause of {next(rnd)}\n"
            out.write(f"commit refs/heads/main\ncommitter A <a@example.org> {1600000000 + n * 600} +0000\n"
                      f"data {len(message)}\n{message}\n")
            for _ in range(3):
                i, line = next(rnd) % len(files), next(rnd) % 120
                files[i][line] = f"line {line} of file {i}, changed by {n}: {next(rnd)}"
                text = "\n".join(files[i]) + "\n"
                out.write(f"M 644 inline d{i % 12}/file{i}.txt\ndata {len(text)}\n{text}\n")


def text_of_python(path):
    """24 MiB of Python's own library."""
    folder = os.path.dirname(os.__file__)
    with open(path, "wb") as out:
        while out.tell() < 24 << 20:
            for name in sorted(os.listdir(folder)):
                if name.endswith(".py"):
                    with open(os.path.join(folder, name), "rb") as part:
                        out.write(part.read())
        out.truncate(24 << 20)


def forms(path):
    subprocess.run(["g++", "-std=c++17", "-O2", "-fno-builtin-malloc", "-x", "c++", os.path.join(HERE, "forms.cpp"), "-o", path,
                    "-pthread"], check=True)


# ---- the programs --------------------------------------------------------------------------------------------

QUICK = "list dict re deque struct array unicode collections generators ctypes".split()
WHOLE = QUICK + ("set json memoryview thread sort bytes pickle subprocess gc weakref threading itertools zlib bz2 lzma ast compile decimal fork1 heapq "
                 "long xml_etree io mmap hashlib queue tuple float complex bool enum functools operator string textwrap csv "
                 "configparser datetime random statistics fractions copy pprint types contextlib tempfile shutil glob").split()


def python(run):
    """Python's own regression tests, through malloc alone: each test's outcome"""
    text = run.command("/usr/bin/python3", "-m", "test", "-v", *(f"test_{t}" for t in (QUICK if run.extent == 1 else WHOLE)))
    outcomes = re.findall(r"^(\w+ \(test\.[\w.]+\)).* \.\.\. (ok|skipped|FAIL|ERROR|expected failure)", text, re.M)
    result = re.findall(r"^All \d+ tests OK|^Tests result: .*", text, re.M)
    return "\n".join([f"{name}: {outcome}" for name, outcome in sorted(outcomes)] + result)


def sqlite(run):
    """A database built, indexed, changed and queried"""
    n = 60000 * run.extent
    script = f"""
        create table item(id integer primary key, owner integer, word text, amount real);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < {n})
          insert into item select i, i * 7919 % 1009, printf('w%05d', i * 104729 % 30011), i % 977 / 7.0 from n;
        create index by_word on item(word, owner);
        create index by_owner on item(owner);
        create virtual table words using fts5(word);
        insert into words select word || ' ' || owner from item where id % 5 = 0;
        update item set amount = amount + 1 where owner % 3 = 0;
        delete from item where id % 11 = 0;
        select owner, count(*), sum(amount), group_concat(word) from item where owner < 40 group by owner order by 3;
        select a.word, count(*) from item a join item b on a.word = b.word and a.id < b.id group by 1 order by 2 desc, 1 limit 50;
        select id, rank() over (partition by owner % 20 order by amount, id) from item where id % 97 = 0;
        select count(*) from words where words match 'w01* OR w02*';
        select json_group_array(json_object('w', word, 'a', amount)) from item where id < 5000;
        vacuum; pragma integrity_check;"""
    return digest(run.command("sqlite3", "test.db", script)) + run.command("sqlite3", "test.db", ".sha3sum")


def compiled(run, compiler):
    n = 200 * run.extent
    source = made(f"large{n}.c", lambda path: large_c(path, n))
    return digest(run.command(compiler, "-O2", "-S", "-o", "-", source))


def gcc(run):
    """A large C file compiled"""
    return compiled(run, "gcc")


def clang(run):
    """The same by clang"""
    return compiled(run, "clang")


def perl(run):
    """Hashes, lists, regular expressions, sorting"""
    n = 120000 * run.extent
    script = f"""
        my (%h, %words, $n); my $x = 1;
        for (1..{n}) {{ $x = $x * 48271 % 2147483647; push @{{$h{{$x % 20011}}}}, "item $x of $_"; delete $h{{$x % 7919}} if $_ % 3 == 0; }}
        for my $k (sort {{ $a <=> $b }} keys %h) {{ for (@{{$h{{$k}}}}) {{ $n++ if /(\\d)\\1/; $words{{$1}} .= $2 if /m (\\d\\d)(\\d+)/; }} }}
        print "$n ", scalar keys %h, "\\n"; print "$_ ", length $words{{$_}}, " ", unpack("%32C*", $words{{$_}}), "\\n" for sort keys %words;
        my $s = join ",", map {{ sprintf "%08x", $_ * 2654435761 % 4294967296 }} 1..{n}; $s =~ s/(..),(..)/$2-$1/g;
        print length $s, " ", unpack("%32C*", join "", sort split /-/, $s), "\\n";"""
    return run.command("perl", "-e", script)


def redis(run):
    """A server under redis-benchmark's load; then what it holds"""
    socket = tempfile.mktemp(dir="/tmp", prefix="octavo-redis.")  # a socket's name has 107 characters at most
    # Debian has one binary for server and checker; it comes with redis-tools, which starts no service.
    os.symlink("/usr/bin/redis-check-rdb", os.path.join(run.folder, "redis-server"))
    run.start("./redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--daemonize", "no", "--loglevel", "warning",
              "--enable-debug-command", "yes")
    ask = lambda *words: run.command("redis-cli", "-s", socket, *words, ours=False)
    while not os.path.exists(socket) and run.background[0][0].poll() is None:
        time.sleep(0.02)
    try:
        load = run.command("redis-benchmark", "-s", socket, "-n", str(15000 * run.extent), "-r", "5000", "-d", "200", "-P", "4", "--csv",
                           "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100", ours=False)
        held = [ask("flushall")]
        held.append(ask("eval", f"""
            for i = 1, {30000 * run.extent} do
                redis.call('set', 'k' .. i * 7919 % 20011, string.rep('v', i % 700)); redis.call('rpush', 'l' .. i % 97, i)
                redis.call('hset', 'h' .. i % 301, 'f' .. i, i); redis.call('zadd', 'z' .. i % 11, i * 31 % 1009, i)
                if i % 3 == 0 then redis.call('del', 'k' .. i) end
            end return redis.call('dbsize')""", "0"))
        held += [ask("debug", "digest"), ask("lrange", "l5", "0", "-1"), ask("zrangebyscore", "z3", "10", "20")]
    finally:
        run.command("redis-cli", "-s", socket, "shutdown", "nosave", ours=False)
    run.finish()
    return "".join(re.findall(r'^"([A-Z].*?)"', load, re.M)) + "".join(held)


def git(run):
    """A repository of 2,500 commits made, packed, and asked about its past"""
    run.command("git", "init", "-q", "-b", "main", ".")
    with open(made("history", history), "rb") as stream:
        run.command("git", "fast-import", "--quiet", stdin=stream)
    run.command("git", "reset", "-q", "--hard", "main")
    run.command("git", "gc", "-q", "--prune=now")
    return (digest(run.command("git", "log", "--stat", "--format=%H %s", *([] if run.extent > 1 else ["-n600"]))) +
            run.command("git", "blame", "-s", "d0/file0.txt") + digest(run.command("git", "rev-list", "--all", "--objects")) +
            run.command("git", "diff", "--shortstat", "main~500", "main") + run.command("git", "fsck", "--no-progress") +
            run.command("git", "grep", "-c", "changed by 24"))


def xz(run):
    """Compression in two threads, and back"""
    source = made("python.txt", text_of_python)
    run.command("sh", "-c", f"head -c {6 * run.extent}M {source} | xz -T2 -4 --block-size=1MiB -c > packed.xz")
    return run.command("sh", "-c", "sha256sum < packed.xz; xz -T2 -dc packed.xz | sha256sum")


def cxx(run):
    """new and delete in all forms, C's calls, a hundred threads, forks, no memory"""
    return run.command(made("forms", forms))


def threads(run):
    """C++ containers in four threads that free each other's blocks"""
    return run.command(made("forms", forms), "threads")


def shell(run):
    """A shell and many short processes"""
    return run.command("sh", "-c", f"""
        for i in $(seq {60 * run.extent}); do echo $i | sed s/2/two/; done | sort -r | tac | awk '{{ a[$1 % 7] += $1 }} END {{ print a[3] }}'
        find {HERE} -name '*.cpp' | xargs grep -c new | tr c d; seq 200000 | sort -R --random-source=/bin/sh | sort -n | tail -n 3""")


PROGRAMS = [python, sqlite, gcc, clang, perl, redis, git, xz, cxx, threads, shell]


def run_on(program, extent=1, **environment):
    """Runs a program with these variables in a folder of its own; returns (what it said, the Run, seconds)."""
    os.makedirs(FOLDER, exist_ok=True)
    folder = tempfile.mkdtemp(dir=FOLDER, prefix=program.__name__ + ".")
    try:
        run = Run(folder, extent, **environment)
        started = time.monotonic()
        return program(run), run, time.monotonic() - started
    finally:
        shutil.rmtree(folder)

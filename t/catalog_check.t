#!/usr/bin/perl
#
# The catalog itself, and what catalog/check says about a broken one: every fault
# with the line where it is. Copies of a small catalog are broken in many places
# at once; each fault must be found, at its line, and nothing else.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $check = 'catalog/check';
my $dir = tempdir('catalog-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# ($status, lines)
sub run {
    my (@command) = @_;
    open my $out, '-|', join(' ', map { "'$_'" } @command) . ' 2>&1' or die "$command[0]: $!\n";
    chomp(my @lines = <$out>);
    close $out;
    return ($? >> 8, @lines);
}

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}

sub spit {
    my ($path, $text) = @_;
    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    return;
}

my $copies = 0;

sub copy_of_fixture {
    my $tree = 't/fixtures/catalog/tree';
    my $to = "$dir/" . $copies++;

    make_path("$to/hosts", "$to/models");
    copy($_, $to . s/^\Q$tree\E//r) or die "$_: $!\n" for glob "$tree/*/*.json";
    copy('catalog/NOTICE', "$to/NOTICE") or die "NOTICE: $!\n";
    return $to;
}

# Changes one place, which must be there; $1 in what it becomes is the pattern's
# first group. Returns "FILE:LINE" of that group, or of the place.
sub break_at {
    my ($root, $file, $what, $with) = @_;
    my $text = slurp("$root/$file");

    $text =~ $what or die "$file: nothing matches $what\n";
    my ($start, $end, $at, $group) = ($-[0], $+[0], $-[1] // $-[0], $1);
    my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);
    $with =~ s/\$1/$group/;
    substr($text, $start, $end - $start, $with);
    spit("$root/$file", $text);
    return "$file:$line";
}

# Breaks a copy in all these places, up to one on a line: [FILE, PATTERN, REPLACEMENT, MESSAGE]; the
# message stands at the first group of the pattern, or at its start.
sub all_found {
    my ($title, @breaks) = @_;
    my $root = copy_of_fixture();
    my %place = map { $_ => break_at($root, @{$breaks[$_]}[0 .. 2]) } 0 .. $#breaks;
    my ($status, @lines) = run($check, $root);
    my @faults = grep { !/^catalog:1: / } @lines[0 .. $#lines - 2];

    is($status, 1, "$title: exits 1");
    for my $i (0 .. $#breaks) {
        my @hits = grep { index($_, "$place{$i}: ") == 0 && /$breaks[$i][3]/ } @faults;
        is(scalar @hits, 1, "$title: $breaks[$i][3]") or diag("$place{$i}\n", join "\n", @lines);
    }
    is(scalar @faults, scalar @breaks, "$title: and nothing else") or diag(join "\n", @lines);
    return;
}

# ---- as it is ---------------------------------------------------------------

my ($status, @lines) = run($check);
is($status, 0, 'the catalog is good') or diag(join "\n", @lines);
my ($hosts, $models, $priced) = "@lines" =~ /(\d+) hosts; (\d+) models, .* (\d+) priced/;
cmp_ok($hosts, '>=', 85, 'hosts');
cmp_ok($models, '>=', 700, 'models');
cmp_ok($priced, '>=', 3000, 'offers with prices');

($status, @lines) = run('catalog/refresh', '--rewrite', '--dry-run');
is("@lines", '0 files would change', 'all files are in the canonical form');

# ---- a small one ------------------------------------------------------------

my $small = copy_of_fixture();
($status, @lines) = run($check, $small);
is($status, 1, 'a small catalog is not enough');
is_deeply(\@lines, [
    'catalog:1: 4 hosts, expected at least 85', 'catalog:1: 3 models, expected at least 700',
    'catalog:1: 7 priced, expected at least 3000',
    '4 hosts; 3 models, 2 aliases; 10 offers: 7 priced, 1 free, 2 unpriced, 0 per image', '3 faults',
], 'but otherwise good');

spit("$small/NOTICE", slurp("$small/NOTICE") =~ s/catwalk/catwalking/gr =~ s/catwalk//gr);
is(scalar(grep { /NOTICE says nothing of "catwalk"/ } run($check, $small)), 2, 'a source without a notice');

my $two = copy_of_fixture();
copy("$two/hosts/zone.json", "$two/hosts/zone2.json");
copy("$two/models/other.json", "$two/models/another.json");
my @found = run($check, $two);
ok(grep({ $_ eq 'hosts/zone2.json:3: hosts.zone: the file of host "zone" is hosts/zone.json' } @found),
   'a host in two files');
ok(grep({ $_ eq 'models/other.json:3: models.other-1: other-1 is a model in models/another.json already' } @found),
   'a model in two files');

# ---- files that cannot be read ----------------------------------------------

all_found('reading',
    ['hosts/maker.json', qr/("facts": )/, '"auth": {"header": "x"}, $1', '"auth" occurs twice'],
    ['hosts/reseller.json', qr/"openai-chat": /, '"openai-chat" ', 'expected a colon'],
    ['hosts/together.json', qr/"kind": "inference",\n( )/, "\"kind\": \"inference\"\n\$1", 'expected a comma or a closing brace'],
    ['hosts/zone.json', qr/\n\}(\n)\z/, "\n}{}\$1", 'text behind the value'],
    ['models/maker.json', qr/true,/, 'yes,', 'expected a value'],
    ['models/other.json', qr/"display_name": "/, "\"display_name\": \"\t", 'wrong escape'],
);

all_found('reading too deep',
    ['models/other.json', qr/"aliases": \[/, '"aliases": ' . '[' x 70, 'nested more than 64 deep'],
);

# ---- what the schemas refuse ------------------------------------------------

all_found('schema of hosts',
    ['hosts/maker.json', qr/"(base_url)"/, '"local": false, "base_url"', 'local: Does not match const'],
    ['hosts/maker.json', qr/"authorization"/, '"Authorization"', 'auth.header: String does not match'],
    ['hosts/maker.json', qr/"kind": "first-party"/, '"kind": "fast"', 'kind: Not in enum'],
    ['hosts/reseller.json', qr{"/chat}, '"chat', 'formats.openai-chat: String does not match'],
    ['hosts/reseller.json', qr/"docs"/, '"manual": "", "docs"', 'Properties not allowed: manual'],
    ['hosts/together.json', qr/"base_url"/, '"pass_through": true, "base_url"', 'not allowed: pass_through'],
    ['hosts/zone.json', qr/"type": "sigv4"/, '"type": "magic"', 'auth.type: Not in enum'],
    ['hosts/zone.json', qr/"store"/, '"stores"', 'Properties not allowed: stores'],
);

all_found('schema of models',
    ['models/other.json', qr/"context_tokens": \d+/, '"context_tokens": 0', 'context_tokens: .*minimum'],
    ['models/other.json', qr/"aliases": \["/, '"aliases": ["a b ', 'aliases\[0\]: String does not match'],
    ['models/other.json', qr/"input": \["text"/, '"input": ["smell"', 'input\[0\]: Not in enum'],
    ['models/other.json', qr/"vision": true/, '"visions": true', 'Properties not allowed: visions'],
    ['models/other.json', qr/"2026-03"/, '"2026-13"', 'released: String does not match'],
    ['models/other.json', qr/"sources": \["vendor-docs"\]/, '"sources": ["hearsay"]', 'sources\[0\]: Not in enum'],
    ['models/other.json', qr/"host"(?=: "reseller")/, '"hosts"', 'offers\[0\]: Properties not allowed: hosts'],
    ['models/other.json', qr/, "as_of": "2026-08-01"\}\},\n(?= *\{"host": "zone", "id": "eu)/, "}},\n",
     'offers\[1\].facts.as_of: Missing property'],
    ['models/other.json', qr/\{"from": "2027-02-01"/, '{"from": "1.2.2027"', 'from: String does not match'],
);

all_found('schema of prices',
    ['models/maker.json', qr/"input": "3", /, '"input": 3, ', 'price.input: Expected string - got number'],
    ['models/maker.json', qr/"input": "3.1"/, '"input": "3.10"', 'price.input: String does not match'],
    ['models/maker.json', qr/"input": "3", "output": "15"\}/, '"input": "3", "output": "1.5e1"}', 'price.output: String does not match'],
    ['models/maker.json', qr/"input": "0.2"/, '"input": "-0.2"', 'price.input: String does not match'],
    ['models/maker.json', qr/"output": "1.6"/, '"outputs": "1.6"', 'Properties not allowed: outputs'],
    ['models/maker.json', qr/"unpriced": "unknown"/, '"unpriced": "gone"', 'unpriced: Not in enum'],
    ['models/maker.json', qr/"free": true/, '"free": false', 'free: Does not match const'],
);

# ---- what the rules refuse --------------------------------------------------

all_found('rules for hosts',
    ['hosts/maker.json', qr/"https:/, '"http:', 'base_url: plain http to a host that is not local'],
    ['hosts/reseller.json', qr/ "auth"/, '"auth"', 'not in the canonical form'],
    ['hosts/zone.json', qr/"variables": \["region"\]/, '"variables": ["land"]', 'they are \(region\), not \(land\)'],
    ['hosts/zone.json', qr/("format_notes": \{\n *)"zone-run"/, '$1"zone-ran"', 'format_notes: the host has no format "zone-ran"'],
    ['hosts/zone.json', qr/"dialect": \{"openai-chat": \{"st/, '"dialect": {"openai": {"st', 'facts.dialect: the host has no format "openai"'],
    ['hosts/zone.json', qr/"dialect": \{"openai-chat": \{"to/, '"dialect": {"openai": {"to', 'zone.dialect: the host has no format "openai"'],
);

all_found('rules for what requests depend on',
    ['models/other.json', qr/("other-1": \{.*?)"vision": true/s, qq(\$1"parallel_tools": false,\n          "vision": true),
     'refuses: without parallel_tools, but facts.capabilities say so'],
    ['hosts/zone.json', qr/("auth": \{)/, '$1"formats": {"o": {"header": "x", "prefix": ""}}, ', 'auth.formats: the host has no format "o"'],
    ['hosts/zone.json', qr/(?<="\{region\}"\},\n)( *)(?="dialect")/, qq(\$1"variables": {"land": "x"},\n      ), 'variables.land: the host has no such variable'],
    ['models/other.json', qr/("dialect": \{)"openai-chat": \{"to/, '$1"openai": {"to', 'dialect: the host has no format "openai"'],
);

all_found('rules for base URLs',
    ['hosts/zone.json', qr/(?<=zone.example\/v1",\n)( *"formats")/, qq(      "base_url_for": {"land": {"x": "https://x.example"}},\n\$1), 'base_url_for.land: the host has no such variable'],
);

all_found('rules for thinking',
    ['models/other.json', qr/(?<="other\/one"\],\n) *"facts": \{\n( *"type")/, qq(      "refuses": ["reasoning"],\n      "thinking": "effort",\n      "facts": {\n\$1),
     'thinking: of a model that refuses to be told to think'],
);

all_found('schema of what requests depend on',
    ['hosts/zone.json', qr/"top_k": true/, '"top_k": 1', 'Expected boolean'],
    ['hosts/zone.json', qr/("dialect": \{"openai-chat": \{)"store"/, '$1"top_k"', 'Properties not allowed: top_k'],
    ['models/other.json', qr/"output_tokens": 4096/, '"output_tokens": 0', 'output_tokens: .*minimum'],
    ['models/maker.json', qr/("display_name")/, '"thinking": "deep", $1', 'thinking: Not in enum'],
    ['models/maker.json', qr/("output_tokens": 32000)/, '"refuses": ["x"], $1', 'refuses\[0\]: Not in enum'],
);

all_found('rules for models',
    ['models/maker.json', qr/"made-large-2026-10-01"/, '"made-small"', '"made-small" is a model already'],
    ['models/maker.json', qr/"owned_by": "maker"/, '"owned_by": "acme"', 'the file of this vendor is models/acme.json'],
    ['models/other.json', qr/"created": 1/, '"created": 2', 'created: not the day of facts.released'],
    ['models/other.json', qr/(?<="other\/one"\],\n)( *"facts")/, qq(      "type": "embedding",\n\$1), 'type: is not facts.type'],
    ['models/other.json', qr/"replacement": "made-small"/, '"replacement": "made-up"', 'no model "made-up"'],
);

all_found('an alias of two',
    ['models/other.json', qr/"aliases": \["other\/one"/, '"aliases": ["made-large-2026-10-01"',
     '"made-large-2026-10-01" is an alias of made-large already'],
);

all_found('rules for offers',
    ['models/maker.json', qr/"host": "together"/, '"host": "togethers"', 'host: there is no host "togethers"'],
    ['models/maker.json', qr/"id": "made-small-old"/, '"id": "made-large"', 'maker offers "made-large" in models.made-large.offers\[0\] already'],
    ['models/maker.json', qr/"id": "maker\/made-small",/, '"id": "made-small",', 'id: the model\'s own name'],
    ['models/maker.json', qr/"free": true/, '"indicative": true', 'pricing: needs one of'],
    ['models/maker.json', qr/"agrees": \["litellm", "pi-ai"\]/, '"agrees": ["models.dev"]', '"models.dev" is both'],
    ['models/other.json', qr/"formats": \["zone-run"\]/, '"formats": ["zone-walk"]', 'formats: the host has no format "zone-walk"'],
    ['models/other.json', qr/"above": 4000/, '"above": 1000', 'tiers\[1\]: not in ascending order'],
    ['models/other.json', qr/"from": "2027-02-01"/, '"from": "2026-12-31"', 'scheduled\[1\]: not in ascending order'],
);

all_found('rules for offers once more',
    ['models/other.json', qr/"unpriced": "subs/, '"batch_discount": "0.5", "unpriced": "subs', 'batch_discount: without a price'],
    ['models/other.json', qr/"dialect": \{"openai-chat": \{"st/, '"dialect": {"openai": {"st', 'facts.dialect: the host has no format "openai"'],
    ['models/maker.json', qr/"0.8"\}\}, "facts": \{/, '"0.8"}}, "facts": {"status": "retired", ', 'offers are not in order'],
);

# ---- how it is asked --------------------------------------------------------

($status, @lines) = run($check, "$dir/nowhere");
isnt($status, 0, 'no catalog');
like("@lines", qr{nowhere: no catalog there}, 'and says so');

done_testing();

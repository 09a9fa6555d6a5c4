package Relay::WireTable;

# What becomes of every documented field of a request or an answer, for every
# pair of formats: found out by translating a body without the field and the same
# one with it (t/wire/translate.c), and written as Markdown. Used by t/wire/table
# and t/wire_table.t; the fields are in t/wire/fields/, see t/wire/README.md.

use strict;
use warnings;

use Exporter qw(import);
use File::Temp ();
use JSON::PP ();

our @EXPORT_OK = qw(load misnamed run markdown unlisted);

# Why a field may go without a word.
my %reasons = (
    default  => 'it asks for what happens without it',
    gap      => '**lost, and nobody is told: a known fault**',
    label    => 'a name that the format demands and no model heeds',
    pair     => 'taken from the call that it belongs to',
    path     => 'said in the path of the request, not in its body',
    place    => "the caller's format has no place for it",
    record   => 'a record of an earlier answer; models do not read it',
    relay    => 'Relay sees to it, whatever the provider does',
    round    => 'lost in a round trip that `relayctl translate` alone makes: nginx passes it on as it is',
    strict   => 'the provider enforces every schema',
    sum      => 'counted anew from its parts',
    twice    => 'another field of the same body says it',
    unasked  => "comes only of what a request in the caller's format cannot ask for, or is refused for",
);

my $head = <<"END";
# What becomes of every field

Written by `make wire-table` from what the code does; do not edit. `t/wire_table.t` fails when it is out of date, when a
field is lost without a word, and when a note or an error does not name the field. Fields and samples are in
[`t/wire/fields/`](../../t/wire/fields/).

Each row is one field with one sample value; each column is another format: the provider's for requests, the caller's for
answers. A cell says what a body becomes with the field that it does not become without it. That is with a model of which
the catalog says nothing: what a host or a model does not take besides (`dialect` in [CONFIG.md](../CONFIG.md)) is dropped or changed in the same way, and named. Between two sides of one format all bytes pass
as they are; the column of the row's own format shows what a round trip through `relayctl translate` keeps. Streams carry the
same fields in their events; Bedrock's InvokeModel, Vertex and Azure use these bodies.

What an answer loses is named by the caller's word for it, or, as `content.image`, for what its format cannot have. Of a stream
`x-relay-dropped` has what was found before the first content went out, `\$relay_dropped` in the log all. Thinking that
its own provider has not signed (`reasoning_content` of Chat hosts, thoughts of Gemini, summaries of Responses, Converse models of
vendors that sign nothing) is not shown to callers of Messages, whoever thought: a client sends it back, and a provider that
checks signatures refuses the whole request for it. It is named as `content.thinking`.

| cell | |
|---|---|
| `path` | it is there, with the sample value or the value that follows |
| = | it stays as it is |
| changed | it arrives in another form; `x-relay-dropped: changed=...` names it |
| dropped | it does not arrive; `x-relay-dropped` names it. These are hints, labels and records: the answer is one to the same request. With `x-relay-strict: 1` it is a 400 that names them |
| with `name` | it is dropped or changed with what it is part of, under that name |
| 400 | refused, and named, before anything is sent: without it the answer would be one to another request |
| 400 for `name` | something that it needs is refused already |
| \x{2014} word | nothing is said of it, since: |
END

my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my @order = qw(openai-chat openai-responses anthropic-messages gemini bedrock-converse);

# ---- fields ------------------------------------------------------------------

# The formats that have a file, in the order of the tables.
sub load {
    my ($folder) = @_;
    return map { read_json("$folder/$_.json") } grep { -e "$folder/$_.json" } @order;
}

sub read_json {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    my $data = eval { $json->decode(scalar <$file>) } or die "$path: $@";
    return $data;
}

sub copy { return $json->decode($json->encode($_[0])) }

# put(BODY, "/messages/0/name", VALUE): a place behind the end of a list appends.
sub put {
    my ($body, $pointer, $value) = @_;
    my (undef, @steps) = split m{/}, $pointer;
    my $last = pop @steps;
    for my $step (@steps) {
        $body = ref $body eq 'ARRAY' ? $body->[$step] : ($body->{$step} //= {});
        ref $body or die "$pointer: nothing to put it into\n";
    }
    ref $body eq 'ARRAY' ? ($body->[$last] = copy($value)) : ($body->{$last} = copy($value));
    return;
}

sub base {
    my ($bases, $name) = @_;
    my $base = $bases->{$name} or die "no base \"$name\"\n";
    return copy($base->{body}) if $base->{body};
    my $body = base($bases, $base->{from} // 'minimal');
    put($body, $_, $base->{set}{$_}) for sort keys %{ $base->{set} };
    return $body;
}

# "messages[].name" is at "/messages/0/name" where the entry says nothing else.
sub place {
    my ($entry) = @_;
    return $entry->{at} if $entry->{at};
    (my $at = "/$entry->{field}") =~ s{\.}{/}g;
    $at =~ s{\[\]}{/0}g;
    return $at;
}

# The bodies without the field and with it.
sub bodies {
    my ($part, $entry) = @_;
    my $without = base($part->{bases}, $entry->{base} // 'minimal');
    put($without, $_, $entry->{beside}{$_}) for sort keys %{ $entry->{beside} // {} };
    my $with = copy($without);
    put($with, $_, $entry->{set}{$_}) for sort keys %{ $entry->{set} // {} };
    put($with, place($entry), $entry->{value});
    return ($without, $with);
}

# ---- translating -------------------------------------------------------------

# One line for each job: [kind, from, to, body]. Gives hashes, in their order.
sub translate {
    my ($program, $jobs) = @_;
    my $file = File::Temp->new;
    print $file join("\t", @$_[0 .. 2], $json->encode($_->[3])), "\n" for @$jobs;
    $file->flush or die "$file: $!\n";
    open my $out, '-|', "$program <$file" or die "$program: $!\n";
    my @outcomes = map { outcome($_) } <$out>;
    close $out or die "$program failed\n";
    return @outcomes;
}

sub outcome {
    my ($line) = @_;
    chomp $line;
    my ($code, $param, $message, $notes, $body) = split /\t/, $line, 5;
    my ($dropped, $changed) = $notes =~ /^(.*?)(?:(?:; )?changed=(.*))?$/;
    return {
        code    => $code,
        param   => $param,
        message => $message,
        dropped => [split /, /, $dropped],
        changed => [split /, /, $changed // ''],
        body    => $json->decode($body),
    };
}

# ---- comparing ---------------------------------------------------------------

# Every scalar and empty container as [path without indexes, value].
sub leaves {
    my ($value, $path) = @_;
    if (ref $value eq 'HASH' && %$value) {
        return map { leaves($value->{$_}, $path eq '' ? $_ : "$path.$_") } sort keys %$value;
    }
    if (ref $value eq 'ARRAY' && @$value) {
        return map { leaves($_, "${path}[]") } @$value;
    }
    return [$path, $json->encode($value)];
}

# What the second has and the first does not.
sub added {
    my ($old, $new) = @_;
    my (%seen, @added);
    $seen{"$_->[0]\t$_->[1]"}++ for leaves($old, '');
    for my $leaf (leaves($new, '')) {
        my $name = join "\t", @$leaf;
        push @added, $leaf unless ($seen{$name} // 0) > 0;
        $seen{$name}--;
    }
    return @added;
}

sub minus {
    my ($list, $from) = @_;
    my %without = map { $_ => 1 } @$from;
    return grep { !$without{$_} } @$list;
}

# ---- names -------------------------------------------------------------------

# "messages[1].content.0.text" and "messages[].content[].text of whatever" are both
# of messages.content.text.
sub plain {
    my ($name) = @_;
    $name =~ s/(?:: | of | beside | made | alone| and |, ).*//;
    $name =~ s/\[\d*\]//g;
    $name =~ s/\.\d+(?=\.|$)//g;
    return $name;
}

# A note and an error name the field itself, what it is in, or what is in it.
sub is_named {
    my ($field, $name) = map { plain($_) } @_;
    return 1 if $field =~ /^anything /;
    return "$field." =~ /^\Q$name\E\./ || "$name." =~ /^\Q$field\E\./;
}

# {WORD: "gemini openai-chat"}: the word for the case's other format; "others" are
# all but its own.
sub said_for {
    my ($words, $case) = @_;
    my ($from, $to) = @$case{qw(from to)};

    for my $word (sort keys %{ $words // {} }) {
        my %for = map { $_ => 1 } split ' ', $words->{$word};
        return $word if $for{$to} || ($for{others} && $from ne $to) || $for{all};
    }
    return;
}

# ---- what became of a field --------------------------------------------------

# mapped: it arrives; changed, dropped: and a note says so; partly: some of it arrives,
# and a note says what does not; covered: a note says so of what it is in; beside: so
# does not what it is in; refused; silent: nothing is said.
sub verdict {
    my ($case) = @_;
    my ($entry, $before, $after) = @$case{qw(entry before after)};
    my %verdict = (dropped => [], changed => [], added => [], removed => [], param => $after->{param});

    $verdict{reason} = said_for($entry->{silent}, $case);
    return { %verdict, is => 'beside', param => $before->{param} } if $before->{code} ne 'none';
    return { %verdict, is => 'refused' } if $after->{code} ne 'none';
    $verdict{dropped} = [minus($after->{dropped}, $before->{dropped})];
    $verdict{changed} = [minus($after->{changed}, $before->{changed})];
    $verdict{added}   = [added($before->{body}, $after->{body})];
    $verdict{removed} = [added($after->{body}, $before->{body})];
    ($verdict{covered}) = grep { is_named($entry->{field}, $_) } @{ $before->{changed} }, @{ $before->{dropped} };
    $verdict{is} = outcome_word(\%verdict);
    return \%verdict;
}

sub outcome_word {
    my ($verdict) = @_;
    my $differs = @{ $verdict->{added} } || @{ $verdict->{removed} };
    return 'changed' if @{ $verdict->{changed} };
    return $differs ? 'partly' : 'dropped' if @{ $verdict->{dropped} };
    return 'mapped' if $differs;
    return defined $verdict->{covered} ? 'covered' : 'silent';
}

# What is wrong with a verdict, or undef.
sub fault {
    my ($part, $case) = @_;
    return silence_fault($case->{verdict})
        // ($part eq 'request' ? name_fault($case) // path_fault($case) // strict_fault($case) : undef);
}

sub silence_fault {
    my ($verdict) = @_;
    my ($silent, $reason) = ($verdict->{is} eq 'silent', $verdict->{reason});
    return 'is lost, and nothing says so' if $silent && !$reason;
    return "is said to be lost ($reason), which is not so" if !$silent && $reason;
    return $silent && !$reasons{$reason} ? "no reason is called $reason" : undef;
}

sub name_fault {
    my ($case) = @_;
    my ($entry, $verdict) = @$case{qw(entry verdict)};
    my @names = $verdict->{is} eq 'refused' ? $verdict->{param} : map { @{ $verdict->{$_} } } qw(dropped changed);
    return if !@names || grep { is_named($entry->{field}, $_) } @names;
    return "is called @names";
}

# True if a body has such a path. A name between lists may have its index ("a[0]",
# "a.0") or none; then it is that of any element.
sub has_path {
    my ($value, @steps) = @_;
    my $step = shift @steps // return 1;
    return exists $value->{$step} && has_path($value->{$step}, @steps) if ref $value eq 'HASH';
    return 0 if ref $value ne 'ARRAY';
    return $step < @$value && has_path($value->[$step], @steps) if $step =~ /^\d+$/;
    return !!grep { has_path($_, $step, @steps) } @$value;
}

# Whoever reads a note or an error looks for its name in the body that he sent.
sub path_fault {
    my ($case) = @_;
    my $after = $case->{after};
    my @names = (@{ $after->{dropped} }, @{ $after->{changed} }, grep { $_ ne '' } $after->{param});
    for my $name (@names) {
        my @steps = $name =~ /[^.\[\]]+/g;
        pop @steps if $after->{code} eq 'missing_field';
        return "is called $name, which is not in the body" unless has_path($case->{with}, @steps);
    }
    return;
}

# misnamed(PROGRAM, FORMAT): what notes and errors call fields that a request spells
# otherwise, "generation_config" for "generationConfig".
sub misnamed {
    my ($program, $format) = @_;
    my @cases = map { { %$_, with => respelt($_->{with}) } } cases($format, 'request');
    my @outcomes = translate($program, [map { ['request', @$_{qw(from to with)}] } @cases]);
    return grep { defined } map {
        my $fault = path_fault({ %$_, after => shift @outcomes });
        $fault && "to $_->{to}: $_->{entry}{field} $fault";
    } @cases;
}

sub respelt {
    my ($value) = @_;
    return [map { respelt($_) } @$value] if ref $value eq 'ARRAY';
    return $value if ref $value ne 'HASH';
    return { map { (my $key = $_) =~ s/(?<=[a-z])([A-Z])/_\l$1/g; $key => respelt($value->{$_}) } keys %$value };
}

sub strict_fault {
    my ($case) = @_;
    my ($after, $strict) = @$case{qw(after strict)};
    my $loses = @{ $after->{dropped} } > 0;
    return if $after->{code} ne 'none' || $loses == ($strict->{code} ne 'none');
    return $loses ? 'is dropped though the request is strict' : "is refused when strict: $strict->{param}";
}

# run(PROGRAM, FORMATS, PART): all cases of "request" or "answer", each with its
# verdict and fault.
sub run {
    my ($program, $formats, $part) = @_;
    my @kinds = $part eq 'request' ? qw(request request strict) : qw(answer answer);
    my @cases = map { cases($_, $part) } grep { $_->{$part} } @$formats;
    my @jobs;

    for my $case (@cases) {
        my @bodies = @$case{qw(without with with)};
        push @jobs, [$kinds[$_], @$case{qw(from to)}, $bodies[$_]] for 0 .. $#kinds;
    }
    my @outcomes = translate($program, \@jobs);
    for my $case (@cases) {
        @$case{ (qw(before after strict))[0 .. $#kinds] } = splice @outcomes, 0, scalar @kinds;
        $case->{verdict} = verdict($case);
        $case->{fault}   = fault($part, $case);
    }
    return \@cases;
}

sub cases {
    my ($format, $part) = @_;
    my @cases;

    for my $entry (@{ $format->{$part}{fields} }) {
        my ($without, $with) = eval { bodies($format->{$part}, $entry) };
        die "$format->{format}: $entry->{field}: $@" if $@;
        push @cases, map {
            { from => $format->{format}, to => $_, entry => $entry, without => $without, with => $with }
        } targets($part);
    }
    return @cases;
}

# Converse is spoken to providers only.
sub targets {
    my ($part) = @_;
    return grep { $part eq 'request' || $_ ne 'bedrock-converse' } @order;
}

# ---- completeness ------------------------------------------------------------

# The words that the codec of a format looks for in requests and whole answers, and
# that no field or sample of the format holds.
sub unlisted {
    my ($format) = @_;
    (my $name = $format->{format}) =~ tr/-/_/;
    my %words = map { $_ => 1 } map { words($_) } grep { /_(?:request|messages|input|blocks|parts|answer)\.c$/ }
        glob "ngx_relay_module/core/wire_${name}_codec_*.c";
    my $known = $json->encode($format);
    die "$format->{format}: no codec is found\n" unless %words;
    return grep { $known !~ /(?<!\w)\Q$_\E(?!\w)/ } sort keys %words;
}

sub words {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return grep { /^\w+$/ } scalar(<$file>) =~ /RELAY_SPAN_INIT\("([^"]*)"\)/g;
}

# ---- Markdown ----------------------------------------------------------------

sub code {
    my ($text) = @_;
    $text =~ s/\|/\\|/g;
    return "`$text`";
}

sub shorten {
    my ($text, $length) = @_;
    return length $text > $length ? substr($text, 0, $length - 1) . "\x{2026}" : $text;
}

sub sample {
    my ($value) = @_;
    return code(shorten(JSON::PP->new->canonical->allow_nonref->encode($value), 40));
}

# Where it went: the first places, with what is there if that is another value.
sub places {
    my ($case) = @_;
    my ($added, $removed) = @{ $case->{verdict} }{qw(added removed)};
    my %asked = map { $_->[1] => 1 } leaves($case->{entry}{value}, '');
    my (@places, %seen);

    for my $leaf (@$added ? @$added : @$removed) {
        next if $seen{ $leaf->[0] }++;
        my $other = @$added && !$asked{ $leaf->[1] } && $leaf->[1] =~ /^[\w".-]{1,24}$/;
        push @places, code($leaf->[0]) . ($other ? ' ' . code($leaf->[1]) : '');
    }
    splice @places, 2, scalar @places, "\x{2026}" if @places > 3;
    return (@$added ? '' : 'takes away ') . join(', ', @places);
}

# True if the other side has the field where it was, as it was.
sub is_same {
    my ($case) = @_;
    my %out = map { join("\t", @$_) => 1 } @{ $case->{verdict}{added} };
    return !grep { !$out{ join "\t", @$_ } } added($case->{without}, $case->{with});
}

my %cells = (
    mapped  => sub { $_[0]{from} eq $_[0]{to} && is_same($_[0]) ? '=' : places($_[0]) },
    changed => sub { join ': ', 'changed', grep { $_ ne 'takes away ' } places($_[0]) },
    partly  => sub { places($_[0]) . '; dropped ' . join(', ', map { code($_) } @{ $_[0]{verdict}{dropped} }) },
    dropped => sub { 'dropped' },
    covered => sub { 'with ' . code($_[0]{verdict}{covered}) },
    refused => sub { '400' },
    beside  => sub { '400 for ' . code(plain($_[0]{verdict}{param})) },
    silent  => sub { "\x{2014} " . ($_[0]{verdict}{reason} // 'unsaid') },
);

sub table {
    my ($cases, $from, $part) = @_;
    my @targets = targets($part);
    my @mine = grep { $_->{from} eq $from } @$cases;
    my $text = '| field | sample | ' . join(' | ', @targets) . " |\n|" . '---|' x (2 + @targets) . "\n";

    while (my @row = splice @mine, 0, scalar @targets) {
        my $entry = $row[0]{entry};
        my @cells = map { $cells{ $_->{verdict}{is} }->($_) } @row;
        $text .= '| ' . join(' | ', field_name($entry->{field}), sample($entry->{value}), @cells) . " |\n";
    }
    return $text;
}

# The path as code, what is said about it as text.
sub field_name {
    my ($name) = @_;
    return $name if $name =~ /^anything /;
    my ($path, $rest) = $name =~ /^([^\s:,]+)(.*)$/;
    return code($path) . $rest;
}

# markdown(FORMATS, {request => CASES, answer => CASES}): the whole of WIRE.md.
sub markdown {
    my ($formats, $cases) = @_;
    my $text = $head;
    my %used = map { $_->{verdict}{reason} => 1 } grep { $_->{verdict}{is} eq 'silent' } map { @$_ } values %$cases;

    $text .= "| \x{2014} $_ | $reasons{$_} |\n" for sort keys %used;
    for my $part (qw(request answer)) {
        for my $format (grep { $_->{$part} } @$formats) {
            $text .= "\n## " . ($part eq 'request' ? 'Requests' : 'Answers') . " of $format->{title}\n\n";
            $text .= table($cases->{$part}, $format->{format}, $part);
        }
    }
    return $text;
}

1;

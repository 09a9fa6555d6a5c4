package Catalog::Rules;

# What holds in the catalog beyond the schemas: references, names that occur
# once, order, provenance, size. Called by check; refresh takes the order of
# offers from here.

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(first);
use Time::Local qw(timegm);

use Catalog::Writer qw(canonical_text);

our @EXPORT_OK = qw(faults counts offer_order offer_id refused_fields);

my %at_least = (hosts => 85, models => 700, priced => 3000);
my %no_notice = map { $_ => 1 } qw(vendor-docs general-knowledge);

# Lines "FILE:LINE: PATH: what is wrong" for a Catalog::Tree and the text of
# NOTICE.
sub faults {
    my ($tree, $notice) = @_;
    my $self = bless {tree => $tree, faults => [], notice => $notice, names => {}, ids => {}};

    $self->file($_) for $tree->files;
    $self->{hosts} = {map { $_->[0] => $_->[1] } $tree->entries('hosts')};
    $self->models_and_aliases;
    $self->host(@$_) for $tree->entries('hosts');
    $self->model(@$_) for $tree->entries('models');
    $self->size;
    return @{$self->{faults}};
}

# What is not there is shown where it would be.
sub fault {
    my ($self, $file, $path, $what) = @_;
    my $at = $path;

    $at =~ s/(?:\.|^)[^.]*$// while length $at && !$file->{lines}{$at};
    push @{$self->{faults}}, "$file->{name}:$file->{lines}{$at}: $path: $what";
    return;
}

# ---- files ------------------------------------------------------------------

sub file {
    my ($self, $file) = @_;
    my @is = split /\n/, $file->{text}, -1;
    my @should = split /\n/, canonical_text($file->{document}), -1;
    my $line = first { ($is[$_] // '') ne ($should[$_] // '') } 0 .. ($#is > $#should ? $#is : $#should);

    push @{$self->{faults}}, "$file->{name}:" . ($line + 1)
        . ': not in the canonical form: catalog/refresh --rewrite' if defined $line;
    return;
}

# ---- hosts ------------------------------------------------------------------

sub host {
    my ($self, $name, $host, $file) = @_;
    my $at = "hosts.$name";
    my $facts = $host->{facts} // {};

    $self->fault($file, $at, qq(the file of host "$name" is hosts/$name.json))
        if $file->{name} ne "hosts/$name.json";
    $self->fault($file, "$at.base_url", 'plain http to a host that is not local')
        if !$host->{local} && grep { /^http:/ } $host->{base_url}, map { values %$_ } values %{$host->{base_url_for} // {}};
    $self->variables($file, $at, $host);
    $self->known_formats($file, "$at.facts.$_", $host, sort keys %{$facts->{$_} // {}})
        for qw(dialect format_notes);
    $self->known_formats($file, "$at.dialect", $host, sort keys %{$host->{dialect} // {}});
    $self->known_formats($file, "$at.auth.formats", $host, sort keys %{$host->{auth}{formats} // {}});
    return;
}

# The names in braces, but {model}, which comes with each request.
sub variables {
    my ($self, $file, $at, $host) = @_;
    my @texts = ($host->{base_url}, $host->{facts}{test_path} // '',
                 (map { values %$_ } values %{$host->{base_url_for} // {}}), values %{$host->{headers} // {}},
                 map { ref ? values %$_ : $_ } values %{$host->{formats}});
    my %used = map { $_ => 1 } map { /\{(\w+)\}/g } @texts;
    delete $used{model};
    my $used = join ', ', sort keys %used;
    my $listed = join ', ', @{$host->{facts}{variables} // []};

    $self->fault($file, "$at.facts.variables", "they are ($used), not ($listed)") if $used ne $listed;
    $self->fault($file, "$at.variables.$_", 'the host has no such variable')
        for grep { !$used{$_} } sort keys %{$host->{variables} // {}};
    $self->fault($file, "$at.base_url_for.$_", 'the host has no such variable')
        for grep { !$used{$_} } sort keys %{$host->{base_url_for} // {}};
    return;
}

sub known_formats {
    my ($self, $file, $path, $host, @formats) = @_;

    for my $format (grep { !exists $host->{formats}{$_} } @formats) {
        $self->fault($file, $path, qq(the host has no format "$format"));
    }
    return;
}

# ---- models -----------------------------------------------------------------

# A name leads to one model.
sub models_and_aliases {
    my ($self) = @_;
    my $names = $self->{names};

    for my $entry ($self->{tree}->entries('models')) {
        my ($name, undef, $file) = @$entry;
        $self->fault($file, "models.$name", "$name is a model in $names->{$name} already")
            if $names->{$name};
        $names->{$name} = $file->{name};
    }
    for my $entry ($self->{tree}->entries('models')) {
        my ($name, $model, $file) = @$entry;
        for my $i (0 .. $#{$model->{aliases} // []}) {
            my $alias = $model->{aliases}[$i];
            $self->fault($file, "models.$name.aliases[$i]", qq("$alias" is )
                . ($names->{$alias} =~ /^alias / ? "an $names->{$alias}" : 'a model') . ' already')
                if $names->{$alias};
            $names->{$alias} = "alias of $name";
        }
    }
    return;
}

sub model {
    my ($self, $name, $model, $file) = @_;
    my $at = "models.$name";
    my $facts = $model->{facts} // {};
    my @offers = @{$model->{offers} // []};

    $self->fault($file, "$at.owned_by", "the file of this vendor is models/$model->{owned_by}.json")
        if $file->{name} ne "models/$model->{owned_by}.json";
    $self->fault($file, "$at.facts.replacement", qq(there is no model "$facts->{replacement}"))
        if defined $facts->{replacement} && !$self->{names}{$facts->{replacement}};
    $self->fault($file, "$at.type", "is not facts.type")
        if ($model->{type} // 'chat') ne ($facts->{type} // 'chat');
    $self->created($file, $at, $model);
    $self->refuses($file, $at, $model);
    $self->offer($file, "$at.offers[$_]", $name, $offers[$_]) for 0 .. $#offers;
    $self->order($file, $at, $name, @offers);
    return;
}

# What a model of these capabilities does not take: refuses has at least this.
# A model that thinks has no use for what steers the choice of the next token; the
# makers refuse different parts of that.
sub refused_fields {
    my ($model) = @_;
    my $can = $model->{facts}{capabilities};
    my $cannot = sub { defined $can->{$_[0]} && !$can->{$_[0]} };

    return if $model->{facts}{type} ne 'chat';
    return sort +($cannot->('reasoning') ? 'reasoning' : ()),
        ($cannot->('parallel_tools') ? 'parallel_tools' : ()),
        ($cannot->('temperature') ? qw(temperature top_k top_p) : ()),
        ($cannot->('temperature') && $can->{reasoning} && $model->{owned_by} eq 'openai'
            ? qw(frequency_penalty logit_bias logprobs presence_penalty stop) : ()),
        ($can->{reasoning} && $model->{owned_by} eq 'xai' ? qw(frequency_penalty presence_penalty stop) : ());
}

sub refuses {
    my ($self, $file, $at, $model) = @_;
    my %listed = map { $_ => 1 } @{$model->{refuses} // []};

    my @missing = grep { !$listed{$_} } refused_fields($model);

    $self->fault($file, "$at.thinking", 'of a model that refuses to be told to think')
        if defined $model->{thinking} && $listed{reasoning};

    $self->fault($file, "$at.refuses", "without @missing, but facts.capabilities say so") if @missing;
    return;
}

sub created {
    my ($self, $file, $at, $model) = @_;
    my ($year, $month, $day) = split /-/, $model->{facts}{released} // '';
    my $day_of_release = !$year ? ''
        : eval { timegm(0, 0, 0, $day // 1, ($month // 1) - 1, $year) } // 'no such day';

    $self->fault($file, "$at.created", 'not the day of facts.released')
        if $day_of_release ne ($model->{created} // '');
    return;
}

# ---- offers -----------------------------------------------------------------

sub offer_id {
    my ($model, $offer) = @_;
    return $offer->{id} // $model;
}

sub offer {
    my ($self, $file, $at, $model, $offer) = @_;
    my $host = $self->{hosts}{$offer->{host}};
    my $id = offer_id($model, $offer);
    my $other = $self->{ids}{$offer->{host}}{$id};

    return $self->fault($file, "$at.host", qq(there is no host "$offer->{host}")) if !$host;
    $self->fault($file, $at, qq($offer->{host} offers "$id" in $other already)) if $other;
    $self->{ids}{$offer->{host}}{$id} = $at;
    $self->fault($file, "$at.id", 'the model\'s own name: leave it out')
        if defined $offer->{id} && $offer->{id} eq $model;
    $self->known_formats($file, "$at.formats", $host, @{$offer->{formats} // []});
    $self->known_formats($file, "$at.dialect", $host, sort keys %{$offer->{dialect} // {}});
    $self->known_formats($file, "$at.facts.dialect", $host, sort keys %{$offer->{facts}{dialect} // {}});
    $self->pricing($file, "$at.pricing", $offer->{pricing});
    $self->provenance($file, "$at.facts", $offer->{facts});
    return;
}

# Exactly one of: a price, free, unpriced. What varies a price needs one.
sub pricing {
    my ($self, $file, $at, $pricing) = @_;
    my $kinds = (!!grep { $pricing->{$_} } qw(price per_image))
        + (!!$pricing->{free}) + (!!$pricing->{unpriced});
    my @needs_price = grep { exists $pricing->{$_} } qw(tiers modes batch_discount windows scheduled);

    $self->fault($file, $at, 'needs one of price or per_image, free, unpriced') if $kinds != 1;
    $self->fault($file, "$at.$needs_price[0]", 'without a price') if @needs_price && !$pricing->{price};
    $self->ascending($file, "$at.tiers", map { $_->{above} } @{$pricing->{tiers} // []});
    $self->ascending($file, "$at.scheduled",
                     map { $_->{from} =~ tr/0-9//cdr } @{$pricing->{scheduled} // []});
    return;
}

sub ascending {
    my ($self, $file, $at, @numbers) = @_;

    for my $i (1 .. $#numbers) {
        $self->fault($file, "$at\[$i]", 'not in ascending order') if $numbers[$i] <= $numbers[$i - 1];
    }
    return;
}

# A source speaks once, and its licence is in NOTICE.
sub provenance {
    my ($self, $file, $at, $facts) = @_;
    my %seen;

    for my $source ($facts->{source}, @{$facts->{agrees} // []}, @{$facts->{differs} // []}) {
        $self->fault($file, $at, qq("$source" is both source, agrees or differs)) if $seen{$source}++;
        $self->fault($file, $at, qq(NOTICE says nothing of "$source"))
            if !$no_notice{$source} && index($self->{notice}, $source) < 0;
    }
    return;
}

# ---- the order of offers ----------------------------------------------------

my %status_rank = (active => 0, preview => 1, deprecated => 2, retired => 3);

# By host; where a host has a model more than once, the first is the one to take:
# what is in service before what is not, the plain one before a variant, a pinned
# snapshot or a region.
sub rank {
    my ($model, $offer) = @_;
    my $facts = $offer->{facts} // {};

    return [$offer->{host}, $status_rank{$facts->{status} // 'active'} // 0,
            (map { defined $facts->{$_} ? 1 : 0 } qw(variant snapshot region)),
            defined $offer->{id} ? 1 : 0, ($facts->{region} // '') eq 'global' ? 0 : 1,
            offer_id($model, $offer)];
}

sub offer_order {
    my ($model, @offers) = @_;

    return map { $_->[1] }
        sort { my ($one, $other) = ($a->[0], $b->[0]);
               (first { $_ } map { $one->[$_] cmp $other->[$_] } 0 .. $#$one) // 0 }
        map { [rank($model, $_), $_] } @offers;
}

sub order {
    my ($self, $file, $at, $name, @offers) = @_;
    my @should = offer_order($name, @offers);
    my $i = first { $offers[$_] != $should[$_] } 0 .. $#offers;

    $self->fault($file, "$at.offers[$i]", 'offers are not in order: catalog/refresh --rewrite')
        if defined $i;
    return;
}

# ---- size -------------------------------------------------------------------

sub counts {
    my ($tree) = @_;
    my @models = $tree->entries('models');
    my @offers = map { @{$_->[1]{offers} // []} } @models;
    my %count = (hosts => scalar($tree->entries('hosts')), models => scalar(@models),
                 offers => scalar(@offers), aliases => 0, priced => 0, free => 0, unpriced => 0,
                 per_image => 0);

    $count{aliases} += @{$_->[1]{aliases} // []} for @models;
    for my $pricing (map { $_->{pricing} // {} } @offers) {
        $count{$_->[0]}++ for grep { $pricing->{$_->[1]} }
            ['priced', 'price'], ['free', 'free'], ['unpriced', 'unpriced'], ['per_image', 'per_image'];
    }
    return \%count;
}

sub size {
    my ($self) = @_;
    my $counts = counts($self->{tree});

    for my $what (sort keys %at_least) {
        push @{$self->{faults}}, "catalog:1: $counts->{$what} $what, expected at least $at_least{$what}"
            if $counts->{$what} < $at_least{$what};
    }
    return;
}

1;
